// y = x at another size, bilinear or, where NEAREST is 1, by the nearest position; a thread makes four channels of a position.
#import shared/index
#import shared/bilinear

struct Params {
    positions: u32, // of all images of y
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    channels4: u32,
}

// x: (B, H, W, C); y: (B, rows, columns, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.positions * params.channels4) {
        return;
    }
    let c4 = i % params.channels4;
    let position = i / params.channels4;
    let column = position % params.columns;
    let row = position / params.columns % params.rows;
    let image = position / (params.columns * params.rows) * params.height;
    if (NEAREST == 1u) {
        let py = row * params.height / params.rows;
        let px = column * params.width / params.columns;
        y[i] = x[((image + py) * params.width + px) * params.channels4 + c4];
        return;
    }
    let down = taps(row, params.height, params.rows);
    let across = taps(column, params.width, params.columns);
    let upper = (image + down.at.x) * params.width;
    let lower = (image + down.at.y) * params.width;
    let a = mix(x[(upper + across.at.x) * params.channels4 + c4], x[(upper + across.at.y) * params.channels4 + c4], across.weight);
    let b = mix(x[(lower + across.at.x) * params.channels4 + c4], x[(lower + across.at.y) * params.channels4 + c4], across.weight);
    y[i] = mix(a, b, down.weight);
}
