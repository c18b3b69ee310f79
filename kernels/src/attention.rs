//! Softmax attention: keys and values of a head are packed into panels once, then some queries at a time pass by in register tiles,
//! with their scores in the nearest caches.

use crate::{
    Attention, Caps, Io, Isa, Kernel, math, run_of,
    simd::{Vector, each_isa},
    tile::{self, Finish, MAX_ROWS, Tile, pack_rows, pack_transposed, packed_len, rows_at, tiles_of},
};

impl Attention {
    /// Runs into which the queries of a head are cut, where heads alone do not feed the threads.
    fn splits(&self, caps: &Caps) -> usize {
        let pairs = (self.sequences * self.heads).max(1);
        let tiles = self.length.div_ceil(caps.isa.tile_rows());
        if caps.threads == 1 { 1 } else { (2 * caps.threads).div_ceil(pairs).min(tiles.div_ceil(4)).max(1) }
    }

    fn head_dim(&self) -> usize {
        self.channels / self.heads
    }

    /// Values of the packed keys, of the packed values, and of the scores of a tile.
    fn pieces(&self, caps: &Caps) -> [usize; 3] {
        let (l, d, lanes) = (self.length, self.head_dim(), caps.isa.lanes());
        [packed_len(d, l, lanes), packed_len(l, d, lanes), MAX_ROWS * l.next_multiple_of(lanes)]
    }
}

impl Kernel for Attention {
    fn parts(&self, caps: &Caps) -> usize {
        self.sequences * self.heads * self.splits(caps)
    }

    fn scratch(&self, caps: &Caps) -> usize {
        self.pieces(caps).iter().sum()
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let (l, c, d) = (self.length, self.channels, self.head_dim());
        let splits = self.splits(caps);
        let (pair, split) = (part / splits, part % splits);
        let (sequence, head) = (pair / self.heads, pair % self.heads);
        let (lanes, width) = (caps.isa.lanes(), caps.isa.panel_width());
        let [keys_len, values_len, _] = self.pieces(caps);
        let (keys, rest) = scratch.split_at_mut(keys_len);
        let (values, scores) = rest.split_at_mut(values_len);
        let qkv = &io.read(0)[sequence * l * 3 * c..][..l * 3 * c];
        let head_of = |which: usize| &qkv[which * c + head * d..];
        pack_transposed(head_of(1), 3 * c, [d, l], [lanes, width], keys);
        pack_rows(head_of(2), 3 * c, [l, d], [lanes, width], values);
        let out = io.out();
        assert!(out.len >= (sequence + 1) * l * c && qkv.len() == l * 3 * c, "the operands of an attention are too small");
        let stride = l.next_multiple_of(lanes);
        let scale = 1.0 / (d as f32).sqrt();
        let queries = run_of(l, splits, split);
        for rows in tiles_of(queries.len(), caps.isa) {
            let (first, count) = (queries.start + rows.start, rows.len());
            let product = Product { isa: caps.isa, rows: count, step: 1 };
            let a = rows_at(head_of(0), 3 * c, first..first + count);
            // SAFETY: queries, packed keys and the scores have `count` rows of d, l and l values.
            unsafe { product.panels(&a, d, keys, l, scores.as_mut_ptr(), stride) };
            let mut sums = [0.0; MAX_ROWS];
            // SAFETY: only slices are read and written.
            unsafe { softmax(caps.isa, scores, [count, l, stride], scale, &mut sums) };
            let a = rows_at(scores, stride, 0..count);
            let to = (sequence * l + first) * c + head * d;
            // SAFETY: the rows and channels of this head exist, and belong to this part alone.
            unsafe {
                product.panels(&a, l, values, d, out.start.add(to), c);
                for (r, sum) in sums.iter().take(count).enumerate() {
                    let row = std::slice::from_raw_parts_mut(out.start.add(to + r * c), d);
                    row.iter_mut().for_each(|v| *v /= sum);
                }
            }
        }
    }
}

/// Products of some rows with packed panels.
pub(crate) struct Product {
    pub(crate) isa: Isa,
    pub(crate) rows: usize,
    /// Distance between the values of a row.
    pub(crate) step: usize,
}

impl Product {
    /// `out = a b` for `inner` values a row and `columns` columns.
    ///
    /// # Safety
    /// `a` has `rows` pointers to `inner` values, `b` is packed for these sizes, and nobody else touches the rows of `out`.
    pub(crate) unsafe fn panels(&self, a: &[*const f32], inner: usize, b: &[f32], columns: usize, out: *mut f32, stride: usize) {
        let (lanes, width) = (self.isa.lanes(), self.isa.panel_width());
        for column in (0..columns).step_by(width) {
            let count = width.min(columns - column);
            let tile = Tile {
                a: &a[..self.rows],
                inner,
                step: self.step,
                rows: self.rows,
                b: b[column * inner..].as_ptr(),
                ahead: b[column * inner..].as_ptr(),
                vectors: count.div_ceil(lanes),
                start: std::ptr::null(),
                // SAFETY: the column exists.
                out: unsafe { out.add(column) },
                stride,
                columns: count,
                finish: Finish::NOTHING,
            };
            // SAFETY: handed on to the caller.
            unsafe { tile::compute(self.isa, &tile) };
        }
    }
}

each_isa! {
    /// Exponentials of rows times `scale`, with their sums: a softmax before its division.
    fn softmax(scores: &mut [f32], sizes: [usize; 3], scale: f32, sums: &mut [f32]) = softmax_body;
}

#[inline(always)]
unsafe fn softmax_body<V: Vector>(scores: &mut [f32], [rows, length, stride]: [usize; 3], scale: f32, sums: &mut [f32]) {
    for (row, sum) in scores.chunks_mut(stride).take(rows).zip(sums) {
        let row = &mut row[..length];
        let max = lane_max(row);
        // SAFETY: handed on to the caller.
        unsafe { math::exp_from::<V>(row, max, scale) };
        *sum = math::lane_sum(row, |v| v);
    }
}

/// The largest value; a NaN is never larger, and comes through the exponentials instead.
#[inline(always)]
fn lane_max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m })
}
