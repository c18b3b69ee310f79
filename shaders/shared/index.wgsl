// Grids are one-dimensional and folded over two axes where they exceed WebGPU's limit an axis: see `fold_grid` on the host.
fn workgroup_index(id: vec3u, count: vec3u) -> u32 {
    return id.y * count.x + id.x;
}
