//! Linear attention in two steps: sums over tokens per head, then every query times its head's sums.

use std::ops::Range;

use crate::{
    Caps, Io, Kernel, LinearAttention, LinearAttentionKv, LinearAttentionSizes,
    attention::Product,
    math::lane_product,
    rope::rotate,
    simd::{Vector, each_isa},
    tile::{pack_rows, packed_len, rows_at, tiles_of},
};

/// Keeps the normaliser away from zero.
const EPS: f32 = 1e-6;
/// Queries that are multiplied at a time.
const QUERIES: usize = 64;

impl LinearAttentionSizes {
    /// Values of a head.
    const fn head_dim(&self) -> usize {
        self.channels / self.heads
    }

    /// Keys of a head.
    const fn key_dim(&self) -> usize {
        self.keys / self.heads
    }

    /// Values of the sums of one head and split: the matrix, then the vector.
    const fn block(&self) -> usize {
        self.key_dim() * self.head_dim() + self.key_dim()
    }

    fn pairs(&self) -> usize {
        self.images * self.heads
    }

    fn split_tokens(&self) -> usize {
        self.tokens.div_ceil(self.splits)
    }

    /// One head's channels of q (`part` 0) or k (1) of a token, rotated. `rotated` is the operand that holds them, or the first of
    /// the two tables.
    #[inline(always)]
    fn rotated(&self, io: &Io<'_>, rotated: usize, part: usize, [image, head, token]: [usize; 3], out: &mut [f32]) {
        let (c, d) = (self.keys, self.key_dim());
        let at = (image * self.tokens + token) * 2 * c + part * c + head * d;
        if self.width == 0 {
            out.copy_from_slice(&io.read(rotated)[at..][..d]);
            return;
        }
        // The first half of all channels turns with the row, the second with the column; a head may lie in both.
        let x = &io.read(0)[at..][..d];
        let middle = (c / 2).saturating_sub(head * d).min(d);
        let row = &io.read(rotated)[token / self.width * (c / 2)..][..c / 2];
        let column = &io.read(rotated + 1)[token % self.width * (c / 2)..][..c / 2];
        let (first, second) = out.split_at_mut(middle);
        rotate(&x[..middle], &row[(head * d).min(c / 2)..], first);
        rotate(&x[middle..], &column[(head * d + middle).saturating_sub(c / 2)..], second);
    }
}

impl Kernel for LinearAttentionKv {
    fn parts(&self, _: &Caps) -> usize {
        self.0.pairs() * self.0.splits
    }

    fn scratch(&self, caps: &Caps) -> usize {
        let n = self.0.split_tokens();
        self.0.key_dim() * n + packed_len(n, self.0.head_dim(), caps.isa.lanes())
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let s = &self.0;
        let (c, d, e, n) = (s.channels, s.key_dim(), s.head_dim(), s.split_tokens());
        let (pair, split) = (part / s.splits, part % s.splits);
        let (image, head) = (pair / s.heads, pair % s.heads);
        let tokens = (split * n).min(s.tokens)..((split + 1) * n).min(s.tokens);
        let count = tokens.len();
        let (lanes, width) = (caps.isa.lanes(), caps.isa.panel_width());
        let (keys, values) = scratch.split_at_mut(d * n);
        // SAFETY: every block belongs to one part.
        let out = unsafe { io.write(part * s.block()..(part + 1) * s.block()) };
        let (products, sums) = out.split_at_mut(d * e);
        sums.fill(0.0);
        // SAFETY: only slices are read and written.
        unsafe { collect_keys(caps.isa, s, io, [image, head], tokens.clone(), keys, sums) };
        let v = &io.read(1)[((image * s.tokens + tokens.start) * c + head * e).min(io.read(1).len())..];
        pack_rows(v, c, [count, e], [lanes, width], values);
        for rows in tiles_of(d, caps.isa) {
            let product = Product { isa: caps.isa, rows: rows.len(), step: d };
            let a = rows_at(keys, 1, rows.clone());
            // SAFETY: the keys have `count` tokens, the values are packed for them, and the block is this part's own.
            unsafe { product.panels(&a, count, values, e, products[rows.start * e..].as_mut_ptr(), e) };
        }
        let factor = 1.0 / s.tokens as f32;
        out.iter_mut().for_each(|v| *v *= factor);
    }
}

impl Kernel for LinearAttention {
    fn parts(&self, _: &Caps) -> usize {
        self.0.images * self.0.tokens.div_ceil(QUERIES)
    }

    fn scratch(&self, caps: &Caps) -> usize {
        let d = self.0.key_dim();
        self.0.block() + QUERIES * d + packed_len(d, self.0.head_dim(), caps.isa.lanes())
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let s = &self.0;
        let (c, d, e) = (s.channels, s.key_dim(), s.head_dim());
        let chunks = s.tokens.div_ceil(QUERIES);
        let (image, first) = (part / chunks, part % chunks * QUERIES);
        let count = QUERIES.min(s.tokens - first);
        let (lanes, width) = (caps.isa.lanes(), caps.isa.panel_width());
        let (block, rest) = scratch.split_at_mut(s.block());
        let (queries, panel) = rest.split_at_mut(QUERIES * d);
        let blocks = io.read(if s.width == 0 { 2 } else { 3 });
        let out = io.out();
        assert!(out.len >= s.images * s.tokens * c, "the result of a linear attention is too small");
        for head in 0..s.heads {
            block.fill(0.0);
            for split in 0..s.splits {
                let from = &blocks[((image * s.heads + head) * s.splits + split) * s.block()..][..s.block()];
                block.iter_mut().zip(from).for_each(|(sum, v)| *sum += v);
            }
            let (products, mean) = block.split_at(d * e);
            pack_rows(products, e, [d, e], [lanes, width], panel);
            // SAFETY: only slices are read and written.
            unsafe { collect_queries(caps.isa, s, io, [image, head], first..first + count, queries) };
            for rows in tiles_of(count, caps.isa) {
                let product = Product { isa: caps.isa, rows: rows.len(), step: 1 };
                let a = rows_at(queries, d, rows.clone());
                let to = (image * s.tokens + first + rows.start) * c + head * e;
                // SAFETY: the rows and channels exist, and belong to this part alone.
                unsafe {
                    product.panels(&a, d, panel, e, out.start.add(to), c);
                    if s.normalised {
                        let tokens = first + rows.start..first + rows.end;
                        divide(caps.isa, s, io, [image, head], tokens, mean, out.start.add(to));
                    }
                }
            }
        }
    }
}

each_isa! {
    /// Rotated keys of a head's tokens, one after another, and the sums of those that were not rotated.
    fn collect_keys(
        s: &LinearAttentionSizes, io: &Io<'_>, at: [usize; 2], tokens: Range<usize>, keys: &mut [f32], sums: &mut [f32],
    ) = collect_keys_body;

    /// Rotated queries of a head's tokens.
    fn collect_queries(
        s: &LinearAttentionSizes, io: &Io<'_>, at: [usize; 2], tokens: Range<usize>, queries: &mut [f32],
    ) = collect_queries_body;

    /// Divides results of a head's tokens by their normalisers: the products of the query as it was with the mean of the keys.
    fn divide(
        s: &LinearAttentionSizes, io: &Io<'_>, at: [usize; 2], tokens: Range<usize>, mean: &[f32], out: *mut f32,
    ) = divide_body;
}

#[inline(always)]
unsafe fn collect_keys_body<V: Vector>(
    s: &LinearAttentionSizes,
    io: &Io<'_>,
    [image, head]: [usize; 2],
    tokens: Range<usize>,
    keys: &mut [f32],
    sums: &mut [f32],
) {
    let (c, d) = (s.keys, s.key_dim());
    for (token, key) in tokens.zip(keys.chunks_exact_mut(d)) {
        s.rotated(io, 2, 1, [image, head, token], key);
        let k = &io.read(0)[(image * s.tokens + token) * 2 * c + c + head * d..][..d];
        sums.iter_mut().zip(k).for_each(|(sum, k)| *sum += k);
    }
}

#[inline(always)]
unsafe fn collect_queries_body<V: Vector>(
    s: &LinearAttentionSizes,
    io: &Io<'_>,
    [image, head]: [usize; 2],
    tokens: Range<usize>,
    queries: &mut [f32],
) {
    for (token, query) in tokens.zip(queries.chunks_exact_mut(s.key_dim())) {
        s.rotated(io, 1, 0, [image, head, token], query);
    }
}

#[inline(always)]
unsafe fn divide_body<V: Vector>(
    s: &LinearAttentionSizes,
    io: &Io<'_>,
    [image, head]: [usize; 2],
    tokens: Range<usize>,
    mean: &[f32],
    out: *mut f32,
) {
    let d = s.key_dim();
    for (r, token) in tokens.enumerate() {
        let q = &io.read(0)[(image * s.tokens + token) * 2 * s.keys + head * d..][..d];
        // SAFETY: the rows and channels exist, and belong to the caller alone.
        let row = unsafe { std::slice::from_raw_parts_mut(out.add(r * s.channels), s.head_dim()) };
        let factor = 1.0 / (lane_product(q, mean) + EPS);
        row.iter_mut().for_each(|v| *v *= factor);
    }
}
