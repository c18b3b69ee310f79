// Images to windows (REVERSE == 0) and back: a thread copies four channels of one output position.
#import shared/index

struct Params {
    images: u32,
    height: u32,
    width: u32,
    size: u32,
    channels4: u32,
}

// x, y: (B, H, W, C) and (B * windows, size * size, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let c4 = i % params.channels4;
    let position = i / params.channels4;
    let size = params.size;
    let down = (params.height + size - 1u) / size;
    let across = (params.width + size - 1u) / size;
    if (REVERSE == 1u) {
        let px = position % params.width;
        let py = position / params.width % params.height;
        let image = position / (params.width * params.height);
        if (image >= params.images) {
            return;
        }
        let window = (image * down + py / size) * across + px / size;
        y[i] = x[(window * size * size + py % size * size + px % size) * params.channels4 + c4];
    } else {
        let inside = position % (size * size);
        let window = position / (size * size);
        let image = window / (down * across);
        if (image >= params.images) {
            return;
        }
        let py = window / across % down * size + inside / size;
        let px = window % across * size + inside % size;
        var value = vec4f(0.0);
        if (py < params.height && px < params.width) {
            value = x[((image * params.height + py) * params.width + px) * params.channels4 + c4];
        }
        y[i] = value;
    }
}
