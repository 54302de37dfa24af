"""The README's examples run, in their order: later ones use what earlier ones made."""

import re
from pathlib import Path

import matplotlib.pyplot as plt

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.S | re.M)


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) >= 5
    names = {}
    for example in EXAMPLES:
        exec(example, names)
    plt.close("all")
