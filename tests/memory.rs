//! How much memory classifying takes beside the checkpoint: weights are mapped, packed one by one, and never held twice.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};

use webmamba::{Weights, low_level::weights::write_safetensors};

/// Peak resident bytes of a command, from the kernel's account of the process itself.
fn peak_bytes(command: &mut Command) -> u64 {
    #[allow(clippy::zombie_processes, reason = "wait4 below is the wait, with the account of resources")]
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to live locals of the types that the call fills in, and the child is ours and not yet reaped.
    let reaped = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, usage.as_mut_ptr()) };
    assert!(reaped == child.id() as libc::pid_t && status == 0, "{}", std::io::read_to_string(child.stderr.unwrap()).unwrap());
    // SAFETY: all zeros are a valid rusage, and the call has succeeded.
    let usage = unsafe { usage.assume_init() };
    usage.ru_maxrss as u64 * 1024
}

#[test]
fn classifying_takes_less_than_three_times_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let manifest = common::manifest::Manifest::load("mambavision_t");
    write_safetensors(&Weights::from_tensors("t", manifest.weights()), &path, None, |_, _| {}).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    for device in [&["--device", "cpu"][..], &["--adapter", "llvmpipe"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webmamba"));
        command.arg("classify").args(["tests/images/coffee.png", "tests/images/chelsea.png", "--model"]).arg(&path).args(device);
        let peak = peak_bytes(command.current_dir(env!("CARGO_MANIFEST_DIR")));
        println!("{device:?}: {} MiB for a checkpoint of {} MiB", peak >> 20, size >> 20);
        assert!(peak <= 3 * size, "{device:?}: {peak} bytes for a checkpoint of {size}");
    }
}
