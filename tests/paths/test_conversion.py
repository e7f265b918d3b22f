"""Memory that is reused."""

import torch

from nodepath.paths.conversion import converted, scratch

MASK = torch.tensor([[True, False, True], [False, False, True]])


@torch.no_grad()
def test_within_a_block_memory_is_reused_and_afterwards_not():
    with scratch():
        first = converted(MASK, torch.float64)
        assert torch.equal(first, MASK.double())
        with scratch():  # an inner block gives nothing back
            second = converted(~MASK, torch.float64)
        assert second.data_ptr() == first.data_ptr()
        assert torch.equal(second, (~MASK).double())
        assert converted(MASK, torch.float32).data_ptr() != first.data_ptr()
        third = converted(MASK[:1], torch.float64)
        assert third.data_ptr() == first.data_ptr()
        assert torch.equal(third, MASK[:1].double())
    assert converted(MASK, torch.float64).data_ptr() != first.data_ptr()


def test_what_autograd_may_keep_is_never_reused():
    with scratch():
        kept = converted(MASK, torch.float64)
        assert converted(~MASK, torch.float64).data_ptr() != kept.data_ptr()
        assert torch.equal(kept, MASK.double())


def test_what_needs_no_conversion_is_itself():
    with scratch(), torch.no_grad():
        assert converted(MASK, torch.bool) is MASK
