// ln(1 + e^x) as `src/ops/math.rs`: a series where e^x is small, x itself above 20, and NaN of NaN: by the bits, see `negative` in
// shared/activation.
fn softplus(x: f32) -> f32 {
    let e = exp(min(x, 20.0));
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25)));
    let bits = bitcast<u32>(x);
    let itself = (bits > 0x41a00000u && bits < 0x80000000u) || bits > 0xff800000u;
    return select(select(log(1.0 + e), series, e < 0.03), x, itself);
}
