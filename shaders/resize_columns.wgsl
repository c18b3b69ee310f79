// The vertical pass of the resize, then the place in the target, scaling to 0..1 and normalisation.
#import shared/index
#import shared/resize

struct Params {
    first_row: u32, // row of the image that is the first of `between`
    rows: u32, // of the target that are made from the image
    columns: u32,
    top: u32, // where they lie in the target
    left: u32,
    height: u32, // the target
    width: u32,
    fill: u32, // packed colour around the image
    mean_r: f32,
    mean_g: f32,
    mean_b: f32,
    std_r: f32,
    std_g: f32,
    std_b: f32,
}

// between: (.., columns) packed RGBA; taps: see shared/resize; x: (H, W, 3) padded to four
@group(0) @binding(0) var<storage, read> between: array<u32>;
@group(0) @binding(1) var<storage, read> taps: array<i32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.height * params.width) {
        return;
    }
    // What lies above or left of the image wraps around and is beyond its end as well.
    let row = i / params.width - params.top;
    let column = i % params.width - params.left;
    var pixel = params.fill;
    if (row < params.rows && column < params.columns) {
        let at = (u32(taps[row * 3u]) - params.first_row) * params.columns + column;
        let weights = u32(taps[row * 3u + 2u]);
        var sum = vec3i(HALF);
        for (var k = 0u; k < u32(taps[row * 3u + 1u]); k++) {
            sum += levels(between[at + k * params.columns]) * taps[weights + k];
        }
        pixel = packed(sum);
    }
    let mean = vec3f(params.mean_r, params.mean_g, params.mean_b);
    let deviation = vec3f(params.std_r, params.std_g, params.std_b);
    x[i] = vec4f((vec3f(levels(pixel)) / 255.0 - mean) / deviation, 0.0);
}
