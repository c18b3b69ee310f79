"""The selective scan of Mamba (Gu and Dao 2023) in forms that train fast.

Per channel c and state n, with delta > 0 and A < 0:

    h[t] = exp(delta[t] A[c, n]) h[t-1] + delta[t] B[t, n] u[t]        (h[-1] = 0)
    y[t] = sum over n of C[t, n] h[t] + D[c] u[t]

A step is the affine map h -> a h + b, and maps compose associatively, so the recurrence takes log2(L) passes over all tokens
at once. Its gradient is the same recurrence run backwards in time; one hand-written `Function` keeps autograd from recording
each pass.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _recur(a: Tensor, b: Tensor, reverse: bool = False) -> Tensor:
    """h[t] = a[t] h[t-1] + b[t] along axis 1 (with `reverse`, h[t] = a[t] h[t+1] + b[t])."""
    length = a.shape[1]
    if a.device.type == "cpu":
        # A CPU is bound by memory, and the plain loop reads and writes every element once.
        h = torch.empty_like(b)
        order = range(length - 1, -1, -1) if reverse else range(length)
        last = None
        for t in order:
            if last is None:
                h[:, t] = b[:, t]
            else:
                torch.addcmul(b[:, t], a[:, t], h[:, last], out=h[:, t])
            last = t
        return h
    step = 1
    while step < length:
        # Compose every map with the one `step` tokens before it; the first `step` maps are complete.
        if reverse:
            done_b, done_a = b[:, -step:], a[:, -step:]
            b = torch.cat([torch.addcmul(b[:, :-step], a[:, :-step], b[:, step:]), done_b], 1)
            a = torch.cat([a[:, :-step] * a[:, step:], done_a], 1)
        else:
            done_b, done_a = b[:, :step], a[:, :step]
            b = torch.cat([done_b, torch.addcmul(b[:, step:], a[:, step:], b[:, :-step])], 1)
            a = torch.cat([done_a, a[:, step:] * a[:, :-step]], 1)
        step *= 2
    return b


class LinearRecurrence(torch.autograd.Function):
    """h[t] = a[t] h[t-1] + b[t] for a, b of shape (B, L, ...)."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        h = _recur(a, b)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx, grad: Tensor):
        a, h = ctx.saved_tensors
        # The gradient of h[t] is what reaches it directly and, through h[t+1], a[t+1] times that of h[t+1].
        later = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)
        grad_b = _recur(later, grad.contiguous(), reverse=True)
        grad_a = torch.zeros_like(a)
        torch.mul(grad_b[:, 1:], h[:, :-1], out=grad_a[:, 1:])
        return grad_a, grad_b


def selective_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, delta_bias: Tensor) -> Tensor:
    """u, delta (B, L, D); a (D, N); b, c (B, L, N); d, delta_bias (D). Returns (B, L, D) in f32, `delta` before its softplus."""
    with torch.autocast(u.device.type, enabled=False):
        u, delta, b, c = u.float(), delta.float(), b.float(), c.float()
        delta = F.softplus(delta + delta_bias.float())
        decay = torch.exp(delta.unsqueeze(-1) * a)
        drive = (delta * u).unsqueeze(-1) * b.unsqueeze(2)
        h = LinearRecurrence.apply(decay, drive)
        y = torch.matmul(h, c.unsqueeze(-1)).squeeze(-1)
        return y + u * d.float()


def selective_scan_sequential(u, delta, a, b, c, d, delta_bias):
    """The recurrence word for word: the reference of the tests."""
    delta = F.softplus(delta + delta_bias)
    h = torch.zeros(u.shape[0], *a.shape, dtype=u.dtype, device=u.device)
    out = []
    for t in range(u.shape[1]):
        h = torch.exp(delta[:, t, :, None] * a) * h + (delta[:, t] * u[:, t])[..., None] * b[:, t, None, :]
        out.append((h * c[:, t, None, :]).sum(-1) + d * u[:, t])
    return torch.stack(out, 1)
