// The horizontal pass of an antialiased bicubic resize on 8-bit pixels: integer weights of 22 fractional bits, as Pillow has them.
#import shared/index
#import shared/resize

struct Params {
    stride: u32, // pixels from one row of the image to the next
    first_row: u32,
    rows: u32,
    columns: u32,
}

// image: (H, stride) packed RGBA; taps: see shared/resize; between: (rows, columns) packed RGBA
@group(0) @binding(0) var<storage, read> image: array<u32>;
@group(0) @binding(1) var<storage, read> taps: array<i32>;
@group(0) @binding(2) var<storage, read_write> between: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.rows * params.columns) {
        return;
    }
    let column = i % params.columns;
    let at = (params.first_row + i / params.columns) * params.stride + u32(taps[column * 3u]);
    let weights = u32(taps[column * 3u + 2u]);
    var sum = vec3i(HALF);
    for (var k = 0u; k < u32(taps[column * 3u + 1u]); k++) {
        sum += levels(image[at + k]) * taps[weights + k];
    }
    between[i] = packed(sum);
}
