// Cells of 2 x 2 pixels as one pixel each: a thread gathers four channels, which may come of two pixels.
#import shared/index

struct Params {
    images: u32,
    height: u32,
    width: u32,
    channels: u32,
}

// x: (B, H, W, C); y: (B, H / 2, W / 2, 4 C), rounded up
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

// A channel of the cell whose upper left pixel is at (py, px).
fn gathered(image: u32, py: u32, px: u32, channel: u32) -> f32 {
    // Upper left, lower left, upper right, lower right.
    let cell = channel / params.channels;
    let iy = py + cell % 2u;
    let ix = px + cell / 2u;
    if (iy >= params.height || ix >= params.width) {
        return 0.0;
    }
    let stride = (params.channels + 3u) / 4u * 4u;
    return x[((image * params.height + iy) * params.width + ix) * stride + channel % params.channels];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    // 4 C channels are C vectors.
    let c = i % params.channels * 4u;
    let pixel = i / params.channels;
    let across = (params.width + 1u) / 2u;
    let down = (params.height + 1u) / 2u;
    let px = pixel % across * 2u;
    let py = pixel / across % down * 2u;
    let image = pixel / (across * down);
    if (image >= params.images) {
        return;
    }
    y[i] = vec4f(
        gathered(image, py, px, c),
        gathered(image, py, px, c + 1u),
        gathered(image, py, px, c + 2u),
        gathered(image, py, px, c + 3u),
    );
}
