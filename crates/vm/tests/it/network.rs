//! The network of a machine that belongs to this process, and its handover to another.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rave_net::Policy;
use rave_vm::machine::{Link, Machine, Nic};
use rave_vm::network::{serve, served_by};
use rave_vm::ports::{PortForward, PortPolicy, host_port};
use rave_vm::run_dir::InstanceRecord;

use crate::guest::Bench;
use crate::life::{PATIENCE, kill};

/// A machine with a network card and a forwarded port, and the port.
fn machine(bench: &Bench) -> (Machine, u16) {
    let port = host_port("gateway", PortPolicy::Auto).unwrap();
    let forwards = vec![PortForward::new("gateway", port, 3002)];
    let link = Link::Own(Policy::default());
    (Machine { network: Some(Nic::Virtio), link, forwards, ..bench.machine("network") }, port)
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_forwarded_port_lives_as_long_as_its_machine_and_is_not_qemus() {
    let bench = Bench::new();
    let (machine, port) = machine(&bench);
    let files = machine.files.clone();
    let instance = bench.boot(machine).unwrap();
    assert!(is_open(port) && files.network_socket.exists());
    assert!(
        !instance.command().contains(&port.to_string()),
        "QEMU must not have the port: {}",
        instance.command()
    );
    let mode = files.run_dir.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    instance.kill().unwrap();
    assert!(!is_open(port));
}

#[test]
fn a_handed_over_network_lives_until_its_qemu_ends() {
    let bench = Bench::new();
    let (machine, port) = machine(&bench);
    let run_dir = machine.files.run_dir.clone();
    let mut instance = bench.boot(machine).unwrap();
    instance.hand_network_over().unwrap();
    assert!(!is_open(port), "nothing serves it");
    let detached = instance.detach().unwrap();
    assert_eq!(served_by(&run_dir), None);
    let server = std::thread::spawn({
        let run_dir = run_dir.clone();
        move || serve(&run_dir)
    });
    wait_until("it is served", || served_by(&run_dir) == Some(std::process::id()));
    assert!(is_open(port));
    kill(detached.pid);
    server.join().unwrap().unwrap();
    assert!(!is_open(port) && InstanceRecord::running(&run_dir).is_none());
    let error = serve(&run_dir).unwrap_err();
    assert!(error.to_string().contains("its machine has ended"), "{error}");
}

#[test]
fn a_reported_port_that_is_taken_meanwhile_is_an_error_with_its_owner() {
    let bench = Bench::new();
    let (machine, port) = machine(&bench);
    let run_dir = machine.files.run_dir.clone();
    let mut instance = bench.boot(machine).unwrap();
    instance.hand_network_over().unwrap();
    let _thief = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = serve(&run_dir).unwrap_err();
    assert!(error.to_string().contains(&format!("port {port} for gateway is taken")), "{error}");
    instance.kill().unwrap();
}
