//! A port that another process takes between the check and the machine's start.

use std::net::{TcpListener, TcpStream};

use rave_net::Policy;
use rave_vm::Error;
use rave_vm::machine::{Link, Machine, Nic};
use rave_vm::ports::TakenReason;
use rave_vm::ports::{PortForward, PortPolicy};

use crate::guest::Bench;

fn machine(bench: &Bench, port: u16, policy: PortPolicy) -> Machine {
    let forwards = vec![PortForward { policy, ..PortForward::new("gateway", port, 3002) }];
    let link = Link::Own(Policy::default());
    Machine { network: Some(Nic::Virtio), link, forwards, ..bench.machine("ports") }
}

#[test]
fn a_taken_requested_port_is_reported_with_its_owner() {
    let bench = Bench::new();
    let thief = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = thief.local_addr().unwrap().port();
    let error = bench.boot(machine(&bench, port, PortPolicy::Fixed(port))).unwrap_err();
    let Error::PortTaken(taken) = &error else { panic!("{error}") };
    assert_eq!((taken.service.as_str(), taken.port), ("gateway", port));
    assert!(
        matches!(&taken.reason, TakenReason::InUse(Some(owner)) if owner.pid == std::process::id()),
        "{error}"
    );
    assert_eq!(error.remedy().unwrap(), "choose another port: --port gateway=auto");
}

#[test]
fn a_taken_preferred_port_is_replaced() {
    let bench = Bench::new();
    let thief = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = thief.local_addr().unwrap().port();
    let instance = bench.boot(machine(&bench, port, PortPolicy::FixedOrFree(port))).unwrap();
    let got = instance.machine().forward("gateway").unwrap().host;
    assert_ne!(got, port);
    TcpStream::connect(("127.0.0.1", got)).unwrap();
    instance.kill().unwrap();
}
