"""What is read off the text of a compiled program, and what is said where nothing can be compiled."""

import dataclasses
import importlib.util

import pytest

reading = pytest.importorskip("benchmarks.accelerators.reading")
targets = pytest.importorskip("benchmarks.accelerators.targets")

TEXT = """HloModule jit_f, entry_computation_layout={(f32[8,4]{1,0})->f32[8,6]{1,0}}

%condition (p: (s32[], f32[8,6])) -> pred[] {
  %bound = s32[]{:T(128)} constant(5)
  %p = (s32[], f32[8,6]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %less = pred[] compare(%i, %bound), direction=LT
}

%product (a: f32[8,4], b: f32[4,6]) -> f32[8,6] {
  %a = f32[8,4]{1,0} parameter(0)
  %b = f32[4,6]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,6]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%taken (all: f32[100,8]) -> f32[2,8] {
  %all = f32[100,8]{1,0} parameter(0)
  ROOT %some = f32[2,8]{1,0} slice(%all), slice={[0:2], [0:8]}
}

%body (q: (s32[], f32[8,6])) -> (s32[], f32[8,6]) {
  %q = (s32[], f32[8,6]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%q), index=0
  %y = f32[8,6]{1,0} get-tuple-element(%q), index=1
  %fusion.2 = f32[8,6]{1,0} fusion(%x.9, %w.9), kind=kOutput, calls=%product, backend_config={"estimated_cycles":"70"}
  ROOT %out = (s32[], f32[8,6]{1,0}) tuple(%i.1, %fusion.2)
}

ENTRY %main (x: f32[8,4], w: f32[4,6]) -> f32[8,6] {
  %x = f32[8,4]{1,0} parameter(0), metadata={op_name="x"}
  %many = f32[100,8]{1,0} parameter(2)
  %images = f32[2,8,8,3]{3,2,1,0} parameter(3)
  %kernel = f32[16,2,2,3]{3,2,1,0} parameter(4)
  %few = f32[2,8]{1,0} fusion(%many), kind=kLoop, calls=%taken, backend_config={"reification_cost":[{"end_to_end_cycles":3.4,"exec_time_us":0.5,"name":""}]}
  %conv = (f32[2,4,4,16]{3,2,1,0}, u8[0]{0}) custom-call(%images, %kernel), window={size=2x2 stride=2x2}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %start = (s32[], f32[8,6]{1,0}) tuple(%x)
  %loop = (s32[], f32[8,6]{1,0}) while(%start), condition=%condition, body=%body
  ROOT %result = f32[8,6]{1,0} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_steps_of_a_program() -> None:
    program = reading.Program(TEXT)
    steps = {step.name: step for step in program.steps(reading.cycles)}
    assert set(steps) == {"few", "conv", "fusion.2"}
    # Five times around the loop, 2 x 8 x 6 outputs of 4 terms each.
    assert steps["fusion.2"].times == 5
    assert steps["fusion.2"].operations == 5 * 2 * 8 * 6 * 4
    assert steps["fusion.2"].modelled == 5 * 70
    # 2 images of 4 x 4 outputs in 16 channels, of 2 x 2 x 3 numbers each.
    assert steps["conv"].kind == "__cudnn$convForward"
    assert steps["conv"].operations == 2 * (2 * 4 * 4 * 16) * (2 * 2 * 3)
    assert steps["conv"].bytes == 4 * (2 * 4 * 4 * 16 + 2 * 8 * 8 * 3 + 16 * 2 * 2 * 3)
    # What is only sliced counts as its slice, read and written.
    assert steps["few"].bytes == 4 * 2 * (2 * 8)
    assert {step.name: step.modelled for step in program.steps(reading.microseconds)} == {
        "few": 0.5,
        "conv": None,
        "fusion.2": None,
    }


def test_a_missing_compiler_is_said() -> None:
    absent = dataclasses.replace(targets.TARGETS["v5e"], modules=("json", "no_such_compiler"))
    with pytest.raises(targets.TargetError, match="compiling for v5e needs the module no_such_compiler, which is not"):
        absent.need_compiler()


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is here")
def test_a_target_that_jax_cannot_compile_for_is_said() -> None:
    with pytest.raises(targets.TargetError, match=r"jax \S+ cannot compile for v5e: "):
        targets.TARGETS["v5e"].device()
