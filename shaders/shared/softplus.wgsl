// ln(1 + e^x) as `src/ops/math.rs`: a series where e^x is small, x itself above 20.
fn softplus(x: f32) -> f32 {
    let e = exp(min(x, 20.0));
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25)));
    return select(select(log(1.0 + e), series, e < 0.03), x, x > 20.0);
}
