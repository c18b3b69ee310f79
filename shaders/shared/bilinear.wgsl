// Two positions of an axis of `n` and the weight of the second: what position i of an axis of `m` is made of, by whole numbers as
// (i + 1/2) n / m - 1/2 would be rounded.
struct Taps {
    at: vec2u,
    weight: f32,
}

fn taps(i: u32, n: u32, m: u32) -> Taps {
    let doubled = (2u * i + 1u) * n;
    let place = select(0u, doubled - m, doubled > m);
    let first = place / (2u * m);
    return Taps(vec2u(first, min(first + 1u, n - 1u)), f32(place % (2u * m)) / f32(2u * m));
}
