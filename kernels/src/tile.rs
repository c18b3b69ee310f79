//! The register tile behind all products: some rows times a panel of columns, with what is done to the result before it leaves.
//!
//! The left rows are read where they lie, one pointer a row and tap, so that a convolution needs no copy of its patches; the right
//! matrix comes in panels of some vectors, `[taps inner, width]`, which a tile reads once from front to back.

use std::ops::Range;

use crate::{
    Act, Isa,
    math::activation,
    run_of,
    simd::{Vector, each_isa},
};

/// Most rows of a tile on any instruction set.
pub(crate) const MAX_ROWS: usize = 14;

/// A tile: `out[r][..columns] = finish(sum over taps and inner of a[r] b + start)`.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// For every tap, one after another: where the values of each of the `rows` rows start.
    pub(crate) a: &'a [*const f32],
    /// Values a row has at each tap, and how far apart they are: 1, or the width of a matrix whose columns are the rows here.
    pub(crate) inner: usize,
    pub(crate) step: usize,
    /// Rows.
    pub(crate) rows: usize,
    /// The panel, `[taps inner, width]`.
    pub(crate) b: *const f32,
    /// What to fetch into the second-level cache meanwhile, as much as the panel has: the panel after it, or this one again.
    pub(crate) ahead: *const f32,
    /// Vectors across the panel.
    pub(crate) vectors: usize,
    /// What the sums start with, `width` values; null for zeros.
    pub(crate) start: *const f32,
    /// The first row of the result, and how far apart rows are.
    pub(crate) out: *mut f32,
    pub(crate) stride: usize,
    /// Columns that exist; a panel's last vectors may reach past them.
    pub(crate) columns: usize,
    /// What happens to the sums.
    pub(crate) finish: Finish,
}

/// Cuts `count` rows into runs of nearly equal length, none longer than a tile.
pub(crate) fn tiles_of(count: usize, isa: Isa) -> impl Iterator<Item = Range<usize>> {
    let tiles = count.div_ceil(isa.tile_rows());
    (0..tiles).map(move |tile| run_of(count, tiles, tile))
}

/// Where the rows of a tile start in a matrix whose rows lie `stride` apart; null past the last one.
pub(crate) fn rows_at(values: &[f32], stride: usize, rows: Range<usize>) -> [*const f32; MAX_ROWS] {
    let mut pointers = [std::ptr::null(); MAX_ROWS];
    for (pointer, row) in pointers.iter_mut().zip(rows) {
        *pointer = values[row * stride..].as_ptr();
    }
    pointers
}

/// The rest of an epilogue, pointers at the tile's first column (and row); null where there is none.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    pub(crate) act: Act,
    pub(crate) scale: *const f32,
    /// With the rows of the result.
    pub(crate) residual: *const f32,
    pub(crate) gate: *const f32,
}

impl Finish {
    /// Leaves the sums as they are.
    pub(crate) const NOTHING: Self =
        Self { act: Act::Identity, scale: std::ptr::null(), residual: std::ptr::null(), gate: std::ptr::null() };

    fn is_nothing(&self) -> bool {
        self.act == Act::Identity && self.scale.is_null() && self.residual.is_null() && self.gate.is_null()
    }
}

/// Computes a tile.
///
/// # Safety
/// The processor has this instruction set, `rows` and `vectors` are at most what [`Isa`] says, all pointers reach as far as described,
/// and nobody else touches the result.
pub(crate) unsafe fn compute(isa: Isa, tile: &Tile<'_>) {
    // SAFETY: handed on to the caller.
    unsafe {
        sums_of(isa, tile);
        finished(isa, tile);
    }
}

/// Computes a tile whose right matrix lies in rows too, `[columns, inner]`, `b` at the first one: each sum is a product of two rows.
///
/// # Safety
/// There is one tap and no panel; everything else as for [`compute`].
pub(crate) unsafe fn compute_by_rows(isa: Isa, tile: &Tile<'_>) {
    // SAFETY: handed on to the caller.
    unsafe {
        dots_of(isa, tile);
        finished(isa, tile);
    }
}

/// The epilogue, where there is one.
unsafe fn finished(isa: Isa, tile: &Tile<'_>) {
    let mut left = tile.finish;
    // SAFETY: the caller's rows belong to the tile, and nobody else touches them.
    unsafe {
        // A browser downloads every loop: there the activations are those of other kernels, in a pass of their own.
        if cfg!(target_arch = "wasm32") {
            crate::math::activate_rows(isa, left.act, tile.out, [tile.rows, tile.columns], tile.stride);
            left.act = Act::Identity;
        }
        if !left.is_nothing() {
            finish(isa, tile);
        }
    }
}

each_isa! {
    /// The sums of a tile.
    fn sums_of(tile: &Tile<'_>) = sums_of_body;
    /// The sums of a tile by rows.
    fn dots_of(tile: &Tile<'_>) = dots_of_body;
    /// The epilogue after the sums, on values that are still in the nearest cache.
    fn finish(tile: &Tile<'_>) = finish_body;
}

/// Picks the body with as many rows and vectors: those counts must be constants, or the sums would not stay in registers.
#[inline(always)]
unsafe fn sums_of_body<V: Vector>(tile: &Tile<'_>) {
    macro_rules! rows {
        ($vectors:literal: $($rows:literal)*) => {
            match tile.rows {
                // SAFETY: handed on to the caller.
                $($rows => unsafe { sums::<V, $rows, $vectors>(tile, 0) },)*
                rows => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    match (V::LANES, tile.vectors) {
        (16, 1) => rows!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (16, _) => rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (8, 1) => rows!(1: 1 2 3 4 5 6),
        (8, _) => rows!(2: 1 2 3 4 5 6),
        #[cfg(target_arch = "aarch64")]
        (_, 4) => rows!(4: 1 2 3 4 5 6),
        #[cfg(target_arch = "aarch64")]
        (_, 3) => rows!(3: 1 2 3 4 5 6),
        #[cfg(target_arch = "aarch64")]
        (_, 2) => rows!(2: 1 2 3 4 5 6),
        #[cfg(target_arch = "aarch64")]
        (_, _) => rows!(1: 1 2 3 4 5 6),
        #[cfg(not(target_arch = "aarch64"))]
        // SAFETY: handed on to the caller.
        (_, 1) => unsafe { few::<V, 1>(tile) },
        #[cfg(not(target_arch = "aarch64"))]
        // SAFETY: handed on to the caller.
        (_, _) => unsafe { few::<V, 2>(tile) },
    }
}

/// The heights that nearly all tiles have, and the others row by row: a browser downloads every body.
#[cfg(not(target_arch = "aarch64"))]
#[inline(always)]
unsafe fn few<V: Vector, const VECTORS: usize>(tile: &Tile<'_>) {
    // SAFETY: handed on to the caller.
    unsafe {
        match tile.rows {
            6 => sums::<V, 6, VECTORS>(tile, 0),
            5 => sums::<V, 5, VECTORS>(tile, 0),
            rows => {
                for row in 0..rows {
                    sums::<V, 1, VECTORS>(tile, row);
                }
            }
        }
    }
}

/// `ROWS` rows of the tile, from `row` on.
#[inline(always)]
unsafe fn sums<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &Tile<'_>, row: usize) {
    // SAFETY: the caller's pointers reach as far as `Tile` says, and every address below lies within.
    unsafe {
        let first: [V; VECTORS] = std::array::from_fn(|v| match tile.start.is_null() {
            true => V::splat(0.0),
            false => V::load(tile.start.add(v * V::LANES)),
        });
        let mut sums = [first; ROWS];
        let mut b = tile.b;
        let ahead = tile.ahead.wrapping_byte_sub(b as usize);
        for taps in tile.a.chunks_exact(tile.rows) {
            let a: [*const f32; ROWS] = std::array::from_fn(|r| taps[row + r]);
            for k in 0..tile.inner {
                let panel: [V; VECTORS] = std::array::from_fn(|v| V::load(b.add(v * V::LANES)));
                for v in 0..VECTORS {
                    V::prefetch(ahead.wrapping_byte_add(b as usize).wrapping_add(v * V::LANES));
                }
                for (sums, a) in sums.iter_mut().zip(a) {
                    let factor = V::splat(*a.add(k * tile.step));
                    for (sum, panel) in sums.iter_mut().zip(panel) {
                        *sum = sum.multiply_add(factor, panel);
                    }
                }
                b = b.add(VECTORS * V::LANES);
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let at = tile.out.add((row + r) * tile.stride + v * V::LANES);
                match tile.columns.saturating_sub(v * V::LANES) {
                    left if left >= V::LANES => sum.store(at),
                    left => sum.store_first(at, left),
                }
            }
        }
    }
}

/// Steps of a tile by rows that are written out one after another, at fixed distances from one address a row: engines of WebAssembly
/// compute every address anew.
const STEPS: usize = 4;
/// Most columns of a tile by rows.
const DOT_COLUMNS: usize = 2;

#[inline(always)]
unsafe fn dots_of_body<V: Vector>(tile: &Tile<'_>) {
    for column in (0..tile.columns).step_by(DOT_COLUMNS) {
        // SAFETY: the rows of `a` and `b` have `inner` values, and the result has the rows and columns.
        unsafe {
            match (tile.rows, (tile.columns - column).min(DOT_COLUMNS)) {
                (6, 2) => dots::<V, 6, 2>(tile, column),
                (5, 2) => dots::<V, 5, 2>(tile, column),
                (rows, columns) => {
                    for row in 0..rows {
                        let one = Tile { a: &tile.a[row..], out: tile.out.add(row * tile.stride), ..*tile };
                        (column..column + columns).for_each(|column| dots::<V, 1, 1>(&one, column));
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn dots<V: Vector, const ROWS: usize, const COLUMNS: usize>(tile: &Tile<'_>, column: usize) {
    let whole = tile.inner / V::LANES * V::LANES;
    // SAFETY: the rows have `inner` values, and the result has the rows and columns.
    unsafe {
        let a: [*const f32; ROWS] = std::array::from_fn(|r| tile.a[r]);
        let b: [*const f32; COLUMNS] = std::array::from_fn(|c| tile.b.add((column + c) * tile.inner));
        let mut sums = [[V::splat(0.0); COLUMNS]; ROWS];
        let mut step = |k: usize| {
            let right: [V; COLUMNS] = std::array::from_fn(|c| V::load(b[c].add(k)));
            for (sums, a) in sums.iter_mut().zip(a) {
                let left = V::load(a.add(k));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = sum.multiply_add(left, right);
                }
            }
        };
        let runs = tile.inner / (STEPS * V::LANES) * (STEPS * V::LANES);
        for k in (0..runs).step_by(STEPS * V::LANES) {
            for i in 0..STEPS {
                step(k + i * V::LANES);
            }
        }
        for k in (runs..whole).step_by(V::LANES) {
            step(k);
        }
        let start: [f32; COLUMNS] = std::array::from_fn(|c| if tile.start.is_null() { 0.0 } else { *tile.start.add(column + c) });
        for first in (0..ROWS * COLUMNS).step_by(4) {
            let mut four = [0.0f32; 4];
            let of = |i: usize| if i < ROWS * COLUMNS { sums[i / COLUMNS][i % COLUMNS] } else { V::splat(0.0) };
            V::store_sums([of(first), of(first + 1), of(first + 2), of(first + 3)], four.as_mut_ptr());
            for (i, sum) in (first..ROWS * COLUMNS).zip(four) {
                let (r, c) = (i / COLUMNS, i % COLUMNS);
                *tile.out.add(r * tile.stride + column + c) = sum + start[c];
            }
        }
        // What a vector does not fill.
        for k in whole..tile.inner {
            for (r, a) in a.into_iter().enumerate() {
                for (c, b) in b.into_iter().enumerate() {
                    *tile.out.add(r * tile.stride + column + c) += *a.add(k) * *b.add(k);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn finish_body<V: Vector>(tile: &Tile<'_>) {
    if cfg!(target_arch = "wasm32") {
        // SAFETY: handed on to the caller.
        return unsafe { finish_with::<V>(tile, Act::Identity) };
    }
    macro_rules! acts {
        ($($act:ident)*) => {
            match tile.finish.act {
                // SAFETY: handed on to the caller.
                $(Act::$act => unsafe { finish_with::<V>(tile, Act::$act) },)*
            }
        };
    }
    acts!(Identity Relu Gelu GeluTanh Silu EluPlusOne Softplus);
}

/// A loop of its own for every `act`, which is a constant where this is called.
#[inline(always)]
unsafe fn finish_with<V: Vector>(tile: &Tile<'_>, act: Act) {
    let Finish { scale, residual, gate, .. } = tile.finish;
    for r in 0..tile.rows {
        for column in (0..tile.columns).step_by(V::LANES) {
            let (at, count) = (r * tile.stride + column, V::LANES.min(tile.columns - column));
            // SAFETY: the caller's pointers reach over the tile, which nobody else touches.
            unsafe {
                let mut value = activation(act, V::load_up_to(tile.out.add(at), count));
                if !scale.is_null() {
                    value = value.multiply(V::load_up_to(scale.add(column), count));
                }
                if !residual.is_null() {
                    value = value.add(V::load_up_to(residual.add(at), count));
                }
                if !gate.is_null() {
                    value = value.multiply(V::load_up_to(gate.add(at), count));
                }
                value.store_up_to(tile.out.add(at), count);
            }
        }
    }
}

/// Values that a right-hand matrix `[inner, columns]` takes in panels.
pub(crate) const fn packed_len(inner: usize, columns: usize, lanes: usize) -> usize {
    inner * columns.next_multiple_of(lanes)
}

/// Packs a matrix whose `columns` lie in rows `stride` apart, `inner` values each: `out[k][column] = src[column][k]`.
pub(crate) fn pack_transposed(
    src: &[f32],
    stride: usize,
    [inner, columns]: [usize; 2],
    [lanes, width]: [usize; 2],
    out: &mut [f32],
) {
    for first in (0..columns).step_by(width) {
        let count = width.min(columns - first);
        let panel = &mut out[first * inner..][..inner * count.next_multiple_of(lanes)];
        let padded = count.next_multiple_of(lanes);
        panel.chunks_exact_mut(padded).for_each(|row| row[count..].fill(0.0));
        for column in 0..count {
            let values = &src[(first + column) * stride..][..inner];
            for (row, value) in panel.chunks_exact_mut(padded).zip(values) {
                row[column] = *value;
            }
        }
    }
}

/// Packs a matrix of `inner` rows `stride` apart.
pub(crate) fn pack_rows(src: &[f32], stride: usize, [inner, columns]: [usize; 2], [lanes, width]: [usize; 2], out: &mut [f32]) {
    for first in (0..columns).step_by(width) {
        let count = width.min(columns - first);
        let padded = count.next_multiple_of(lanes);
        let panel = &mut out[first * inner..][..inner * padded];
        for (k, row) in panel.chunks_exact_mut(padded).enumerate() {
            row[..count].copy_from_slice(&src[k * stride + first..][..count]);
            row[count..].fill(0.0);
        }
    }
}
