//! Products and dense convolutions as one: an implicit GEMM whose left rows are the patches of an NHWC image, read where they lie.

use crate::{
    Caps, Gemm, Io, Isa, Kernel, run_of,
    tile::{self, Finish, MAX_ROWS, Tile},
};

/// Pointers to rows that are gathered before the panels are gone through: a group of tiles that stays in the second-level cache.
const POINTERS: usize = 8192;
/// Values of the left matrix in such a group, at most. The larger it is, the fewer times the weight passes by.
const fn group_values(isa: Isa) -> usize {
    match isa {
        // Processors with these vectors have a megabyte of that cache or two.
        Isa::Avx512 => 1 << 18,
        _ => 1 << 16,
    }
}

/// Values of a panel whose columns are read where they lie: as many as stay in the nearest cache.
const PANEL_VALUES: usize = 4096;
/// Most columns of such a panel.
const PANEL_COLUMNS: usize = 64;

/// How the work is cut.
struct Cut {
    /// Tiles down, of nearly equal height.
    tiles: usize,
    /// Panels across.
    panels: usize,
    /// Runs of tiles and of panels that are parts.
    parts: [usize; 2],
}

impl Gemm {
    fn rows(&self) -> usize {
        self.images * self.output[0] * self.output[1]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Columns of a panel. Where a panel is not packed it is wider the shorter the columns are: a row of the result is written in whole
    /// lines of the cache then, and a tile begun less often.
    fn panel_width(&self, isa: Isa) -> usize {
        let width = isa.panel_width();
        if !self.by_rows {
            return width;
        }
        (PANEL_VALUES / self.read_channels.max(1)).clamp(width, PANEL_COLUMNS) / width * width
    }

    fn cut(&self, caps: &Caps) -> Cut {
        // Large kernels have many pointers a row.
        let height = caps.isa.tile_rows().min(POINTERS / self.taps()).max(1);
        let tiles = self.rows().div_ceil(height);
        let panels = self.output_channels.div_ceil(self.panel_width(caps.isa));
        let wanted = if caps.threads == 1 { 1 } else { 3 * caps.threads };
        // A cut across reads the image several times, a cut down the weight: whichever is smaller is read again.
        let image = self.images * self.input[0] * self.input[1] * self.read_channels;
        let down = image > self.taps() * self.read_channels * self.output_channels;
        let parts = match [tiles, panels] {
            [tiles, _] if down && tiles >= wanted => [wanted, 1],
            [_, panels] if panels >= wanted => [1, wanted],
            [tiles, panels] => [wanted.div_ceil(panels).min(tiles), panels],
        };
        Cut { tiles, panels, parts }
    }

    /// Where the rows of a tile start, for every tap; and how many taps of how many values there are. A row of taps inside the
    /// image lies in one piece and counts as one.
    fn gather(&self, x: &[f32], zeros: &[f32], rows: std::ops::Range<usize>, pointers: &mut Vec<*const f32>) -> [usize; 2] {
        let ([kh, kw], [h, w], [oh, ow], c) = (self.kernel, self.input, self.output, self.input_channels);
        let corner = |row: usize| {
            let (image, oy, ox) = (row / (oh * ow), row / ow % oh, row % ow);
            let place = |o: usize| (o * self.stride) as isize - self.padding as isize;
            (image, place(oy), place(ox))
        };
        let within = |at: isize, extent: usize| usize::try_from(at).ok().filter(|at| *at < extent);
        let whole = self.read_channels == c
            && rows.clone().all(|row| {
                let x0 = corner(row).2;
                x0 >= 0 && x0 as usize + kw <= w
            });
        let across = if whole { 1 } else { kw };
        for ky in 0..kh {
            for kx in 0..across {
                for row in rows.clone() {
                    let (image, y0, x0) = corner(row);
                    let place = within(y0 + ky as isize, h).zip(within(x0 + kx as isize, w));
                    let start = place.map_or(zeros, |(y, x0)| &x[((image * h + y) * w + x0) * c + self.first_channel..]);
                    pointers.push(start.as_ptr());
                }
            }
        }
        if whole { [kh, kw * c] } else { [kh * kw, self.read_channels] }
    }
}

impl Kernel for Gemm {
    fn parts(&self, caps: &Caps) -> usize {
        let [down, across] = self.cut(caps).parts;
        down * across
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let cut = self.cut(caps);
        let (lanes, width) = (caps.isa.lanes(), self.panel_width(caps.isa));
        let [x, weight, vectors, residual, gate] = [0, 1, 2, 3, 4].map(|i| io.read(i));
        let (rows, n, k) = (self.rows(), self.output_channels, self.taps() * self.read_channels);
        let padded = n.next_multiple_of(lanes);
        let (out, e) = (io.out(), &self.epilogue);
        assert!(
            weight.len() >= k * if self.by_rows { n } else { padded }
                && out.len >= rows * n
                && vectors.len() >= usize::from(e.bias || e.scale) * 2 * padded,
            "the operands of a product do not cover {rows} x {k} x {n}"
        );
        let at = |present: bool, from: &[f32], at: usize| if present { from[at..].as_ptr() } else { std::ptr::null() };
        let panels = run_of(cut.panels, cut.parts[1], part % cut.parts[1]);
        let tiles = run_of(cut.tiles, cut.parts[0], part / cut.parts[1]);
        let rows_of = |tile: usize| run_of(rows, cut.tiles, tile);
        let height = rows.div_ceil(cut.tiles.max(1));
        // Rows of the image that a tile adds to those of the tile before it.
        let values = height * self.read_channels * self.stride * self.stride;
        let group = (POINTERS / (height * self.taps()).max(1)).min(group_values(caps.isa) / values.max(1)).max(1);
        GATHERED.with_borrow_mut(|(pointers, shapes)| {
            for first in tiles.clone().step_by(group) {
                let group = first..(first + group).min(tiles.end);
                pointers.clear();
                shapes.clear();
                for tile in group.clone() {
                    let start = pointers.len();
                    let [_, inner] = self.gather(x, io.zeros, rows_of(tile), pointers);
                    shapes.push((start..pointers.len(), inner));
                }
                for panel in panels.clone() {
                    let column = panel * width;
                    let columns = width.min(n - column);
                    // Where the weight is larger than the cache, its next panel comes while this one is worked on.
                    let next = if panel + 1 < panels.end { column + width } else { column };
                    for (index, (tile, (range, inner))) in group.clone().zip(shapes.iter()).enumerate() {
                        let rows = rows_of(tile);
                        let finish = Finish {
                            act: e.act,
                            scale: at(e.scale, vectors, padded + column),
                            residual: at(e.residual, residual, rows.start * n + column),
                            gate: at(e.gate, gate, rows.start * n + column),
                        };
                        let tile = Tile {
                            a: &pointers[range.clone()],
                            inner: *inner,
                            step: 1,
                            rows: rows.len(),
                            b: weight[column * k..].as_ptr(),
                            ahead: weight[if index == 0 { next } else { column } * k..].as_ptr(),
                            vectors: columns.div_ceil(lanes),
                            start: at(e.bias, vectors, column),
                            // SAFETY: the row and column exist, and `out` holds all rows.
                            out: unsafe { out.start.add(rows.start * n + column) },
                            stride: n,
                            columns,
                            finish,
                        };
                        // SAFETY: all operands cover their sizes (asserted above, and sliced here), tiles do not overlap, and
                        // each belongs to one part.
                        unsafe {
                            match self.by_rows {
                                true => tile::compute_by_rows(caps.isa, &tile),
                                false => tile::compute(caps.isa, &tile),
                            }
                        };
                    }
                }
            }
        });
    }
}

/// Room for the pointers of a group of tiles.
type Gathered = (Vec<*const f32>, Vec<(std::ops::Range<usize>, usize)>);

thread_local! {
    static GATHERED: std::cell::RefCell<Gathered> =
        std::cell::RefCell::new((Vec::with_capacity(POINTERS + MAX_ROWS), Vec::with_capacity(POINTERS)));
}
