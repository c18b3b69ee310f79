// Pixels of 8 bits a channel, and sums of them with weights of 22 fractional bits. A table of taps has three numbers a position
// (first input position, how many, where their weights start), then all weights.
const HALF: i32 = 1 << 21u;

fn levels(pixel: u32) -> vec3i {
    return vec3i(vec3u(pixel, pixel >> 8u, pixel >> 16u) & vec3u(255u));
}

// Rounds a sum that started at HALF to 8 bits.
fn packed(sum: vec3i) -> u32 {
    let level = vec3u(clamp(sum >> vec3u(22u), vec3i(0), vec3i(255)));
    return level.x | (level.y << 8u) | (level.z << 16u);
}
