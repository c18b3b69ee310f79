// y = means of x over bins, which overlap where their number does not divide the extent; a thread sums four channels of a bin.
#import shared/index

struct Params {
    bins: u32, // of all images
    rows: u32, // of bins
    columns: u32,
    height: u32,
    width: u32,
    channels4: u32,
}

// x: (B, H, W, C); y: (B, rows, columns, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.bins * params.channels4) {
        return;
    }
    let bin = i / params.channels4;
    let row = bin / params.columns % params.rows;
    let column = bin % params.columns;
    let image = bin / (params.columns * params.rows);
    let top = row * params.height / params.rows;
    let bottom = ((row + 1u) * params.height + params.rows - 1u) / params.rows;
    let left = column * params.width / params.columns;
    let right = ((column + 1u) * params.width + params.columns - 1u) / params.columns;
    var sum = vec4f(0.0);
    for (var py = top; py < bottom; py++) {
        let base = (image * params.height + py) * params.width;
        for (var px = left; px < right; px++) {
            sum += x[(base + px) * params.channels4 + i % params.channels4];
        }
    }
    y[i] = sum / f32((bottom - top) * (right - left));
}
