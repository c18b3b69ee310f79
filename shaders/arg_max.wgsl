// y = the class of the largest logit of every pixel of x, resized bilinearly in two steps; a thread makes four pixels of a row, one byte
// each. 255 stands where a logit is not a number or infinite: found by bits, as compilers may take it that there are no such numbers.
#import shared/index
#import shared/bilinear

struct Params {
    lines: u32, // rows of all images of y
    height: u32,
    width: u32,
    through_rows: u32,
    through_columns: u32,
    rows: u32,
    columns: u32,
    channels: u32,
}

// x: (B, H, W, C); y: (B, rows, columns), four to a word
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// Four positions of an axis of `n` and their weights: a position of an axis of `m`, seen through one of `between`.
struct Quad {
    at: vec4u,
    weight: vec4f,
}

fn quad(i: u32, n: u32, between: u32, m: u32) -> Quad {
    let outer = taps(i, between, m);
    let a = taps(outer.at.x, n, between);
    let b = taps(outer.at.y, n, between);
    let near = 1.0 - outer.weight;
    let weight = vec4f(near * (1.0 - a.weight), near * a.weight, outer.weight * (1.0 - b.weight), outer.weight * b.weight);
    return Quad(vec4u(a.at, b.at), weight);
}

fn across(row: u32, columns: Quad) -> vec4f {
    return x[row + columns.at.x] * columns.weight.x + x[row + columns.at.y] * columns.weight.y
        + x[row + columns.at.z] * columns.weight.z + x[row + columns.at.w] * columns.weight.w;
}

fn class_of(image: u32, down: Quad, column: u32) -> u32 {
    let channels4 = (params.channels + 3u) / 4u;
    var columns = quad(column, params.width, params.through_columns, params.columns);
    columns.at *= channels4;
    let rows = (vec4u(image * params.height) + down.at) * params.width * channels4;
    var best = 0u;
    var score = -3.4e38;
    var broken = false;
    for (var c4 = 0u; c4 < channels4; c4++) {
        let value = across(rows.x + c4, columns) * down.weight.x + across(rows.y + c4, columns) * down.weight.y
            + across(rows.z + c4, columns) * down.weight.z + across(rows.w + c4, columns) * down.weight.w;
        broken = broken || any((bitcast<vec4u>(value) & vec4u(0x7f800000u)) == vec4u(0x7f800000u));
        for (var k = 0u; k < 4u; k++) {
            let channel = c4 * 4u + k;
            if (channel < params.channels && value[k] > score) {
                score = value[k];
                best = channel;
            }
        }
    }
    return select(best, 255u, broken);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let words = (params.columns + 3u) / 4u;
    let line = i / words;
    if (line >= params.lines) {
        return;
    }
    let down = quad(line % params.rows, params.height, params.through_rows, params.rows);
    var word = 0u;
    for (var k = 0u; k < 4u; k++) {
        let column = i % words * 4u + k;
        if (column < params.columns) {
            word |= class_of(line / params.rows, down, column) << (8u * k);
        }
    }
    y[i] = word;
}
