"""The fast scan against the recurrence, values and gradients."""

import pytest
import torch

from ..scan import LinearRecurrence, _recur, selective_scan, selective_scan_sequential


def operands(length: int, dtype=torch.float32):
    torch.manual_seed(length)
    b, d, n = 3, 10, 8
    u, delta = torch.randn(b, length, d), torch.randn(b, length, d)
    a = -torch.rand(d, n) * 8
    rest = torch.randn(b, length, n), torch.randn(b, length, n), torch.randn(d), torch.randn(d)
    return [t.to(dtype).requires_grad_() for t in (u, delta, a, *rest)]


@pytest.mark.parametrize("length", [1, 2, 3, 16, 37, 256])
def test_values_and_gradients(length):
    fast, slow = operands(length), operands(length)
    got, want = selective_scan(*fast), selective_scan_sequential(*slow)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(want)
    (got * weight).sum().backward()
    (want * weight).sum().backward()
    for x, y in zip(fast, slow):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5, 16, 33])
def test_doubling_form(length, reverse, monkeypatch):
    """The form that runs on accelerators, run here."""
    a, b = torch.rand(2, length, 3, 4), torch.randn(2, length, 3, 4)
    plain = _recur(a, b, reverse)

    class Elsewhere(torch.Tensor):
        device = torch.device("meta")

    other = _recur(a.as_subclass(Elsewhere), b, reverse)
    torch.testing.assert_close(torch.Tensor(other), plain)


def test_gradcheck():
    a = torch.rand(2, 7, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LinearRecurrence.apply, (a, b))
