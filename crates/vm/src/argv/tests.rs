//! Snapshots of whole command lines, one option per line.

use rave_net::Policy;

use super::*;
use crate::machine::{Credential, DirectKernel, Disk, DiskFormat, Grants, Link, Memory, Nic, Password};
use crate::ports::PortForward;

/// The command line with each option and its value on one line.
fn lines(machine: &Machine, engine: Engine) -> String {
    let mut text = String::new();
    for word in qemu_argv(machine, engine) {
        if word.starts_with('-') && !text.is_empty() {
            text.push('\n');
        } else if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word);
    }
    text
}

fn machine() -> Machine {
    Machine::new("rave", Utf8Path::new("/run/rave"))
}

fn sandbox() -> Machine {
    Machine {
        disk: Some(Disk::whole("/out/rave.qcow2", DiskFormat::Qcow2, Interface::Virtio)),
        overlay: Overlay::Throwaway,
        memory_mib: 4096,
        cpus: 2,
        network: Some(Nic::Virtio),
        forwards: vec![PortForward::new("gateway", 3002, 3002), PortForward::new("ssh", 2223, 22)],
        credentials: vec![Credential { name: "ssh.authorized_keys.root".into(), value: b"hush".to_vec() }],
        ..machine()
    }
}

#[test]
fn a_sandbox_under_software_emulation() {
    assert_eq!(
        lines(&sandbox(), Engine::Tcg),
        "-nodefaults
-no-user-config
-name rave
-machine q35
-m size=4096M
-smp cpus=2
-rtc base=utc,clock=host
-device virtio-rng-pci
-accel tcg,thread=multi
-cpu max,la57=off,smap=off
-chardev ringbuf,id=firmware,size=262144
-device isa-debugcon,iobase=0x402,chardev=firmware
-blockdev driver=qcow2,node-name=disk,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/run/rave/overlay.qcow2
-device virtio-blk-pci,drive=disk,bootindex=0
-netdev stream,id=net,server=on,addr.type=unix,addr.path=/run/rave/net.sock
-device virtio-net-pci,netdev=net,romfile=
-chardev file,id=serial,append=on,path=/run/rave/serial.log
-serial chardev:serial
-device virtio-serial-pci
-chardev file,id=ready,append=on,path=/run/rave/ready.jsonl
-device virtserialport,id=ready-port,chardev=ready,name=org.rave.ready
-chardev socket,id=qmp,server=on,wait=off,path=/run/rave/qmp.sock
-mon chardev=qmp,mode=control
-smbios type=11,path=/run/rave/credential-0
-device virtio-vga,edid=on,xres=1280,yres=800
-display none"
    );
}

#[test]
fn kvm_exposes_the_hosts_processor() {
    let text = lines(&machine(), Engine::Kvm);
    assert!(text.contains("-accel kvm\n-cpu host\n"), "{text}");
    let text = lines(&machine(), Engine::KvmWithoutArchCapabilities);
    assert!(text.contains("-accel kvm\n-cpu host,arch-capabilities=off\n"), "{text}");
}

#[test]
fn features_that_an_old_qemu_emulates_wrongly_are_hidden() {
    let text = lines(&machine(), Engine::TcgWithoutAvx2);
    assert!(text.contains("-accel tcg,thread=multi\n-cpu max,avx2=off,la57=off,smap=off\n"), "{text}");
}

#[test]
fn uefi_maps_its_code_read_only_and_its_variables_writable() {
    let firmware = Firmware::Uefi { code: "/fw/CODE.fd".into(), vars_template: "/fw/VARS.fd".into() };
    let text = lines(&Machine { firmware, ..machine() }, Engine::Tcg);
    assert!(
        text.contains(
            "-drive if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd\n\
             -drive if=pflash,unit=1,format=raw,file=/run/rave/uefi-vars.fd\n"
        ),
        "{text}"
    );
    assert!(!text.contains("/fw/VARS.fd"), "the template must stay as it is: {text}");
}

#[test]
fn each_overlay_has_its_own_file_and_only_temporary_ones_skip_flushes() {
    let with = |overlay| lines(&Machine { overlay, ..sandbox() }, Engine::Tcg);
    let kept = with(Overlay::Keep("/keep/rave.qcow2".into()));
    assert!(kept.contains(
        "driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.filename=/keep/rave.qcow2\n"
    ));
    let raw = Disk::whole("/out/a.img", DiskFormat::Raw, Interface::Virtio);
    let direct = lines(&Machine { overlay: Overlay::None, disk: Some(raw), ..machine() }, Engine::Tcg);
    assert!(
        direct
            .contains("driver=raw,node-name=disk,discard=unmap,file.driver=file,file.filename=/out/a.img\n")
    );
}

#[test]
fn each_interface_has_its_controller() {
    for (interface, expected) in [
        (Interface::Ahci, "-device ide-hd,drive=disk,bus=ide.0,bootindex=0\n"),
        (
            Interface::Nvme,
            "-device pcie-root-port,id=nvme-port,chassis=1\n-device nvme,bus=nvme-port,drive=disk,serial=rave,bootindex=0\n",
        ),
        (
            Interface::Scsi,
            "-device mptsas1068,id=scsi\n\
             -device scsi-hd,drive=disk,bus=scsi.0,wwn=0x3000000000000001,bootindex=0\n",
        ),
        (Interface::Pvscsi, "-device pvscsi,id=scsi\n-device scsi-hd,drive=disk,bus=scsi.0,bootindex=0\n"),
    ] {
        let disk = Some(Disk { interface, ..sandbox().disk.unwrap() });
        let text = lines(&Machine { disk, ..sandbox() }, Engine::Tcg);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn network_cards_have_no_boot_rom() {
    for (nic, expected) in [
        (Nic::Virtio, "-device virtio-net-pci,netdev=net,romfile=\n"),
        (Nic::E1000, "-device e1000,netdev=net,romfile=\n"),
        (Nic::E1000e, "-device e1000e,netdev=net,romfile=\n"),
        (Nic::Vmxnet3, "-device vmxnet3,netdev=net,romfile=\n"),
    ] {
        let text = lines(&Machine { network: Some(nic), ..sandbox() }, Engine::Tcg);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn an_iso_is_a_read_only_cd_or_a_usb_stick() {
    let with = |interface, overlay| {
        let disk = Some(Disk::whole("/out/a.iso", DiskFormat::Raw, interface));
        lines(&Machine { disk, overlay, ..machine() }, Engine::Tcg)
    };
    let cd = with(Interface::Cd, Overlay::None);
    assert!(
        cd.contains(
            "-blockdev driver=raw,node-name=disk,read-only=on,file.driver=file,file.filename=/out/a.iso\n\
             -device ide-cd,drive=disk,bus=ide.0,bootindex=0\n"
        ),
        "{cd}"
    );
    let stick = with(Interface::UsbStick, Overlay::Throwaway);
    assert!(
        stick.contains(
            "-device qemu-xhci,id=usb\n\
             -device usb-storage,drive=disk,bus=usb.0,removable=on,bootindex=0\n"
        ),
        "{stick}"
    );
}

#[test]
fn additional_disks_have_their_own_controllers_and_boot_order() {
    use crate::machine::ExtraDisk;
    let disk = |path: &str, format, interface, read_only| ExtraDisk {
        path: path.into(),
        format,
        interface,
        read_only,
    };
    let more_disks = vec![
        disk("/run/target.qcow2", DiskFormat::Qcow2, Interface::Ahci, false),
        disk("/run/a,b.img", DiskFormat::Raw, Interface::Pvscsi, true),
    ];
    let cd = Some(Disk::whole("/out/a.iso", DiskFormat::Raw, Interface::Cd));
    let text = lines(&Machine { disk: cd, more_disks, ..machine() }, Engine::Tcg);
    assert!(
        text.contains(
            "-device ide-cd,drive=disk,bus=ide.0,bootindex=0\n\
             -blockdev driver=qcow2,node-name=disk1,discard=unmap,file.driver=file,file.filename=/run/target.qcow2\n\
             -device ide-hd,drive=disk1,bus=ide.1,bootindex=1\n\
             -blockdev driver=raw,node-name=disk2,read-only=on,file.driver=file,file.filename=/run/a,,b.img\n\
             -device pvscsi,id=scsi2\n\
             -device scsi-hd,drive=disk2,bus=scsi2.0,bootindex=2\n"
        ),
        "{text}"
    );
}

#[test]
fn direct_kernel_boot() {
    let kernel = Some(DirectKernel {
        image: "/k/vmlinuz".into(),
        initrd: Some("/k/initrd".into()),
        command_line: "console=ttyS0 panic=-1".into(),
    });
    let text = lines(&Machine { kernel, ..machine() }, Engine::Tcg);
    assert!(
        text.contains("-kernel /k/vmlinuz\n-initrd /k/initrd\n-append console=ttyS0 panic=-1\n"),
        "{text}"
    );
}

/// The part of the command line after the last option that every machine has.
fn screen(display: Display, clipboard: bool) -> String {
    let text = lines(&Machine { display, clipboard, ..machine() }, Engine::Tcg);
    let (_, screen) = text
        .split_once("-mon chardev=qmp,mode=control\n-device virtio-vga,edid=on,xres=1280,yres=800\n")
        .unwrap();
    screen.to_owned()
}

fn server(port: u16) -> DisplayServer {
    DisplayServer { bind: std::net::Ipv4Addr::LOCALHOST.into(), port, password: Password::random().unwrap() }
}

#[test]
fn display_windows() {
    assert_eq!(screen(Display::Headless, true), "-display none");
    assert_eq!(
        screen(Display::Gtk, true),
        "-display gtk,zoom-to-fit=off
-device virtio-keyboard-pci
-device virtio-tablet-pci
-chardev qemu-vdagent,id=agent,name=vdagent,clipboard=on
-device virtserialport,chardev=agent,name=com.redhat.spice.0"
    );
    assert!(!screen(Display::Gtk, false).contains("agent"));
    assert_eq!(
        screen(Display::Sdl, true),
        "-display sdl
-device virtio-keyboard-pci
-device virtio-tablet-pci"
    );
}

#[test]
fn display_servers_and_their_password() {
    assert_eq!(
        screen(Display::Vnc(server(5907)), false),
        "-display none
-vnc 127.0.0.1:7,password-secret=display-password
-object secret,id=display-password,file=/run/rave/display-password
-device virtio-keyboard-pci
-device virtio-tablet-pci"
    );
    assert_eq!(
        screen(Display::Spice(server(5930)), true),
        "-display none
-spice addr=127.0.0.1,port=5930,password-secret=display-password,disable-agent-file-xfer=on
-object secret,id=display-password,file=/run/rave/display-password
-device virtio-keyboard-pci
-device virtio-tablet-pci
-chardev spicevmc,id=agent,name=vdagent
-device virtserialport,chardev=agent,name=com.redhat.spice.0"
    );
    assert!(
        screen(Display::Spice(server(5930)), false)
            .contains("=display-password,disable-copy-paste=on,disable-agent-file-xfer=on\n"),
        "the agent of SPICE shares a clipboard unless it is disabled"
    );
    let served = server(5900);
    assert!(!screen(Display::Vnc(served.clone()), true).contains(served.password.as_str()));
}

#[test]
fn qemu_opens_no_connection_and_no_port() {
    for link in [Link::Stream, Link::Own(Policy::default())] {
        let text = lines(&Machine { link, ..sandbox() }, Engine::Tcg);
        let netdev = "-netdev stream,id=net,server=on,addr.type=unix,addr.path=/run/rave/net.sock\n";
        assert!(text.contains(netdev), "{text}");
        assert!(text.contains("-device virtio-net-pci,netdev=net,romfile=\n"), "{text}");
        assert!(!text.contains("3002") && !text.contains("2223"), "{text}");
    }
}

#[test]
fn a_fenced_machine_spawns_no_program() {
    let fence = "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\n";
    assert!(
        lines(&Machine { fence: Fence::Closed(Grants::default()), ..sandbox() }, Engine::Tcg).contains(fence)
    );
    assert!(!lines(&sandbox(), Engine::Tcg).contains("-sandbox"));
}

#[test]
fn without_a_network_no_card_is_added() {
    assert!(!lines(&Machine { network: None, ..sandbox() }, Engine::Tcg).contains("net"));
}

#[test]
fn commas_and_spaces_in_paths_are_escaped() {
    let text = lines(&Machine::new("a", Utf8Path::new("/run/a, b")), Engine::Tcg);
    assert!(text.contains("-chardev file,id=serial,append=on,path=/run/a,, b/serial.log\n"), "{text}");
}

#[test]
fn no_value_of_a_credential_is_on_the_command_line() {
    assert!(!lines(&sandbox(), Engine::Tcg).contains("hush"));
}

#[test]
fn the_guest_agent_has_a_port_on_request() {
    let agent = |guest_agent| lines(&Machine { guest_agent, ..sandbox() }, Engine::Tcg);
    let (with, without) = (agent(true), agent(false));
    let added: Vec<&str> = with.lines().filter(|line| !without.lines().any(|other| other == *line)).collect();
    assert_eq!(
        added,
        [
            "-chardev socket,id=guest-agent,server=on,wait=off,path=/run/rave/qga.sock",
            "-device virtserialport,chardev=guest-agent,name=org.qemu.guest_agent.0",
        ]
    );
}

#[test]
fn the_channel_has_a_port_on_request() {
    let channel = |channel| lines(&Machine { channel, ..sandbox() }, Engine::Tcg);
    let (with, without) = (channel(true), channel(false));
    let added: Vec<&str> = with.lines().filter(|line| !without.lines().any(|other| other == *line)).collect();
    assert_eq!(
        added,
        [
            "-chardev socket,id=channel,server=on,wait=off,path=/run/rave/rgc.sock",
            "-device virtserialport,chardev=channel,name=org.rave.channel",
        ]
    );
}

#[test]
fn a_clone_maps_its_templates_memory_copy_on_write() {
    let kind = Some("pc-q35-10.0".to_owned());
    let template = Machine { memory: Memory::File("/t/memory".into()), kind: kind.clone(), ..sandbox() };
    let clone = Machine { memory: Memory::CopyOf("/t/a,b".into()), kind, ..sandbox() };
    let (template, clone) = (lines(&template, Engine::Tcg), lines(&clone, Engine::Tcg));
    let memory = "-machine pc-q35-10.0,memory-backend=mem\n-m size=4096M\n\
                  -object memory-backend-file,id=mem,size=4096M,mem-path=";
    assert!(
        template.contains(&format!("{memory}/t/memory,share=on\n-device vmgenid,guid=auto\n-smp")),
        "{template}"
    );
    let private = "/t/a,,b,share=off,readonly=on,rom=off\n-device vmgenid,guid=auto\n-incoming defer\n-smp";
    assert!(clone.contains(&format!("{memory}{private}")), "{clone}");
}

#[test]
fn a_machine_resumed_from_a_moment_has_the_saved_devices() {
    let resumed = |has_generation| {
        let memory = Memory::Resumed { file: "/m/memory".into(), has_generation };
        lines(&Machine { memory, kind: Some("q35".into()), ..sandbox() }, Engine::Tcg)
    };
    let (clone, booted) = (resumed(true), resumed(false));
    let head = "-machine q35,memory-backend=mem,suppress-vmdesc=on\n-m size=4096M\n\
                -object memory-backend-file,id=mem,size=4096M,mem-path=/m/memory,share=off,readonly=on,rom=off\n";
    let tail = "-global migration.send-configuration=off\n-incoming defer\n-smp";
    assert!(clone.contains(&format!("{head}-device vmgenid,guid=auto\n{tail}")), "{clone}");
    assert!(booted.contains(&format!("{head}{tail}")), "{booted}");
}
