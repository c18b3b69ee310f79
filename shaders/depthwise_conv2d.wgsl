// Depthwise convolution, behind channels that pass through; a thread computes four channels of one output pixel.
#import shared/index

struct Params {
    in_h: u32,
    in_w: u32,
    channels: u32,
    images: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride: u32,
    pad_y: u32,
    pad_x: u32,
    passed: u32,
}

// x: (B, H, W, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
// w: (taps, C - passed), with passed % 4 zeros before each row
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
// vectors: (2, C): bias, scale
@group(0) @binding(2) var<storage, read> vectors: array<vec4f>;
// residual, gate: like y
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
@group(0) @binding(4) var<storage, read> gate: array<vec4f>;
// y: (B, H', W', C)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

#import shared/epilogue

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let channels4 = (params.channels + 3u) / 4u;
    let c4 = i % channels4;
    let pixel = i / channels4;
    let ox = pixel % params.out_w;
    let oy = pixel / params.out_w % params.out_h;
    let image = pixel / (params.out_w * params.out_h);
    if (image >= params.images) {
        return;
    }
    let first4 = params.passed / 4u;
    if (c4 < first4) {
        y[i] = epilogue(x[i], c4, channels4, i, c4, params.channels);
        return;
    }
    var acc = vec4f(0.0);
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        // Unsigned: a position above or left of the image wraps to a huge number and fails the comparison too.
        let iy = oy * params.stride + ky - params.pad_y;
        if (iy >= params.in_h) {
            continue;
        }
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            let ix = ox * params.stride + kx - params.pad_x;
            if (ix < params.in_w) {
                let at = ((image * params.in_h + iy) * params.in_w + ix) * channels4 + c4;
                acc = fma(x[at], w[(ky * params.kernel_w + kx) * (channels4 - first4) + c4 - first4], acc);
            }
        }
    }
    if (c4 * 4u < params.passed) {
        acc = select(acc, x[i], vec4u(c4 * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.passed));
    }
    y[i] = epilogue(acc, c4, channels4, i, c4, params.channels);
}
