// Geometry of the implicit GEMM: rows are output pixels, columns output channels, the reduced axis is (kernel position, channel).
struct Params {
    rows: u32,
    panels: u32, // columns / 8
    in_h: u32,
    in_w: u32,
    in_channels4: u32,
    first_read4: u32, // where the channels start that are read
    read_channels4: u32,
    out_h: u32,
    out_w: u32,
    out_channels: u32,
    first_channel4: u32, // where these columns start in the output
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    padding: u32,
}

// x: (B, H, W, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
// w: (N / 8, taps * C, 8), as shared/weights tells
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
// vectors: (2, N): bias, scale
@group(0) @binding(2) var<storage, read> vectors: array<vec4f>;
// residual, gate: like y
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
@group(0) @binding(4) var<storage, read> gate: array<vec4f>;
// y: (B, H', W', N)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

const OUTSIDE = 0xffffffffu;

// Index of the first channels that are read of the input pixel under output pixel `row` at a kernel position, or OUTSIDE.
fn pixel_base(row: u32, ky: u32, kx: u32) -> u32 {
    let ox = row % params.out_w;
    let oy = row / params.out_w % params.out_h;
    let image = row / (params.out_w * params.out_h);
    // Unsigned: a position above or left of the image wraps to a huge number and fails the comparison too.
    let iy = oy * params.stride + ky - params.padding;
    let ix = ox * params.stride + kx - params.padding;
    let inside = row < params.rows && iy < params.in_h && ix < params.in_w;
    return select(OUTSIDE, ((image * params.in_h + iy) * params.in_w + ix) * params.in_channels4 + params.first_read4, inside);
}

// Four channels from a base of `pixel_base` on.
fn load_row(base: u32, c4: u32) -> vec4f {
    let inside = base != OUTSIDE;
    return select(vec4f(0.0), x[select(0u, base + c4, inside)], inside);
}

// acc + a b for four steps of the reduced axis.
fn multiply(acc: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
    return fma(a.wwww, b[3], fma(a.zzzz, b[2], fma(a.yyyy, b[1], fma(a.xxxx, b[0], acc))));
}

#import shared/weights

fn weight_shape() -> vec2u {
    return vec2u(params.read_channels4, params.panels * params.kernel_h * params.kernel_w);
}

#import shared/epilogue

// Stores four neighbouring columns of a row, of which the first is 4 * column4 of this slice of the columns.
fn store(row: u32, column4: u32, acc: vec4f) {
    // Columns are packed in eights, but the output is padded to fours only.
    let channel4 = params.first_channel4 + column4;
    let channels4 = (params.out_channels + 3u) / 4u;
    if (row < params.rows && column4 < params.panels * 2u && channel4 < channels4) {
        let at = row * channels4 + channel4;
        y[at] = epilogue(acc, column4, params.panels * 2u, at, channel4, params.out_channels);
    }
}
