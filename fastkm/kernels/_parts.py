"""Parts: functions that are compiled into their callers only.

Numba makes machine code of every function that a kernel calls, and optimizes it, alone
and again in each caller. Here a part is only typed and translated to LLVM's language;
the kernels that call it join and optimize what they need, and make its machine code.

This is built on what Numba keeps to itself. Where a version of it lacks something named
here, importing this module fails, and `_jit` compiles in Numba's own way, as with
versions that it does not know.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from numba import types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.itanium_mangler import prepend_namespace
from numba.core.registry import CPUDispatcher

from fastkm.kernels._imports import import_without_scipy
from fastkm.kernels._passes import KernelPasses
from fastkm.kernels._signatures import Remembering

__all__ = ["KernelCompiler", "Part"]

# What Numba's own `finalize` goes by is what those below replace.
NAMES = {"_final_module", "_get_module_for_linking", "_linking_libraries"}
NAMES |= {"_optimize_final_module", "_reload_init"}
if not NAMES <= {*JITCodeLibrary.finalize.__code__.co_names}:
    raise ImportError("another way to join code")

WRAPPER = prepend_namespace("_ZN", "cpython")  # how such names begin


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Keep Python from looking for garbage in what a compilation makes, all the time.

    Nearly all of it stays; the search took some 6 % of a first fit, and as long again
    afterwards, unless it is counted among what is old.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


class KernelLibrary(JITCodeLibrary):
    """The LLVM code of a kernel, and then its machine code."""

    is_rolled = False

    def _optimize_functions(self, ll_module: Any) -> None:
        """Do by function what inlining goes by: its size, without stack slots.

        Without that `kdtree.divide` takes 2.3 times as long; all of Numba's passes over
        functions take 0.9 s of a first fit, and those over modules do the same again.
        What Python calls, to take its arguments apart, stays as it is.
        """
        builder = self._codegen._pass_builder()
        passes = llvm.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        for function in ll_module.functions:
            if function.name.startswith(WRAPPER):
                function.add_function_attribute("noinline")
                function.add_function_attribute("optnone")
            elif not function.is_declaration:
                passes.run(function, builder)

    def _optimize_final_module(self) -> None:
        """Do what Numba does; less of it for kernels that are `rolled`.

        Level 1 with vectors, but no loop unrolled: half the time of level 3.
        """
        if not self.is_rolled:
            return super()._optimize_final_module()
        codegen = self._codegen
        passes, builder = codegen._module_pass_manager(
            opt=0, loop_vectorize=False, slp_vectorize=False, cost="cheap"
        )
        passes.run(self._final_module, builder)
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        options.loop_unrolling = options.slp_vectorization = False
        options.loop_vectorization = True
        builder = llvm.create_pass_builder(codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)
        return None

    def finalize(self) -> None:
        """Join the parts, each once, and make the machine code."""
        self._linking_libraries = callers_first(self)
        super().finalize()


class PartLibrary(KernelLibrary):
    """The LLVM code of a part."""

    def finalize(self) -> None:
        """Leave all to the kernel."""
        self._finalized = True


def callers_first(kernel: KernelLibrary) -> list[JITCodeLibrary]:
    """Give all code that a kernel needs: LLVM drops what nothing calls as yet."""
    callees_first: dict[JITCodeLibrary, None] = {}

    def visit(library: KernelLibrary) -> None:
        for callee in library._linking_libraries:
            if callee not in callees_first:
                if isinstance(callee, PartLibrary):
                    visit(callee)
                callees_first[callee] = None

    visit(kernel)
    return list(callees_first)[::-1]


class KernelCompiler(Compiler):
    """Numba's compiler, writing to a `KernelLibrary`."""

    library = KernelLibrary

    def __init__(self, *arguments: Any) -> None:
        import_without_scipy()
        super().__init__(*arguments)

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function for the types that were given."""
        codegen = self.state.targetctx.codegen()
        self.state.library = self.library(codegen, func.__qualname__)
        self.state.library.is_rolled = getattr(func, "is_rolled", False)
        self.state.library.enable_object_caching()
        self.state.typingctx = Remembering(self.state.typingctx)
        with nothing_collected():
            return super().compile_extra(func)

    def define_pipelines(self) -> Any:
        """Give the one pipeline."""
        return [KernelPasses()]


def call_part(descriptor: Any, library: PartLibrary) -> Any:
    """Give what writes a call of a part: nobody asks how it ended, as none raises."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = context.declare_function(builder.module, descriptor)
        result, error = function.function_type.args[:2]
        result = cgutils.alloca_once(builder, result.pointee)
        packer = context.get_arg_packer(descriptor.argtypes)
        packed = packer.as_arguments(builder, arguments)
        builder.call(function, [result, error(None), *packed])
        value = builder.load(result)
        return context.get_returned_value(builder, descriptor.restype, value)

    call: Any = write
    call.signature, call.libs = descriptor.argtypes, (library,)
    return call


class PartCompiler(KernelCompiler):
    """Numba's compiler, but for the machine code."""

    library = PartLibrary

    def compile_extra(self, func: Any) -> Any:
        """Compile; callers know the result by an object that nobody can call."""
        state = self.state
        state.flags.no_compile = True
        result = super().compile_extra(func)
        entry_point = object()
        call = call_part(result.fndesc, state.library)
        state.targetctx._defns[entry_point].append(call, call.signature)
        return result._replace(entry_point=entry_point)


class Part(CPUDispatcher):
    """A function that has no machine code of its own."""

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        options = {"nopython": True, "no_cpython_wrapper": True, **options}
        super().__init__(function, targetoptions=options, pipeline_class=PartCompiler)

    def __call__(self, *arguments: Any) -> Any:
        """Run the Python function, for tests: the same bits."""
        return self.py_func(*arguments)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Compile for numbers, not anew for every literal one."""
        return super().get_call_template([types.unliteral(kind) for kind in args], kws)

    def add_overload(self, cres: Any) -> None:
        """Keep what was compiled, for callers; Numba's own lets Python call it."""
        self.overloads[tuple(cres.signature.args)] = cres
