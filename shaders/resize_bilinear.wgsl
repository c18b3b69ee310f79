// An image of 8 bits a channel resized by OpenCV's bilinear filter, to the bit, and normalised; a thread makes a pixel.
#import shared/index
#import shared/resize

struct Params {
    stride: u32, // pixels a row of the image
    height: u32,
    width: u32,
    mean_r: f32,
    mean_g: f32,
    mean_b: f32,
    std_r: f32,
    std_g: f32,
    std_b: f32,
}

// pixels: RGBA, a word each; rows, columns: two positions and their weights, of 11 fractional bits; y: (H, W, 3)
@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;
@group(0) @binding(2) var<storage, read> columns: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

// The sum of two pixels of a row without the four lowest bits.
fn along(row: u32, column: vec4u) -> vec3u {
    let base = row * params.stride;
    let sum = vec3u(levels(pixels[base + column.x])) * column.z + vec3u(levels(pixels[base + column.y])) * column.w;
    return sum >> vec3u(4u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.height * params.width) {
        return;
    }
    let row = rows[i / params.width];
    let column = columns[i % params.width];
    let above = (along(row.x, column) * row.z) >> vec3u(16u);
    let below = (along(row.y, column) * row.w) >> vec3u(16u);
    let level = vec3f((above + below + vec3u(2u)) >> vec3u(2u)) / 255.0;
    let mean = vec3f(params.mean_r, params.mean_g, params.mean_b);
    y[i] = vec4f((level - mean) / vec3f(params.std_r, params.std_g, params.std_b), 0.0);
}
