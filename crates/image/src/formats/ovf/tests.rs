//! Descriptors round-trip; those of other programs can be read.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::formats::{tests::export_spec, virtualbox, vmware};

/// Text of an attribute or an element, with all characters that are special in XML.
fn text() -> impl Strategy<Value = String> {
    "[ -~äß\n\t\r<>&\"']{0,12}"
}

fn item() -> impl Strategy<Value = Item> {
    let texts = proptest::array::uniform4(of(text()));
    let more = proptest::array::uniform3(of(text()));
    (text(), text(), any::<u16>(), of(any::<u64>()), texts, more, of(any::<bool>())).prop_map(
        |(instance, name, kind, quantity, texts, more, automatic)| {
            let [model, units, address, address_on_parent] = texts;
            let [parent, host_resource, connection] = more;
            Item {
                instance,
                name,
                kind,
                model,
                quantity,
                units,
                address,
                address_on_parent,
                parent,
                host_resource,
                connection,
                automatic,
            }
        },
    )
}

fn machine() -> impl Strategy<Value = vbox::VboxMachine> {
    let uuid = || "[0-9a-f]{8}";
    let forward = (text(), "[0-9.]{0,15}", any::<u16>(), any::<u16>())
        .prop_map(|(name, host_address, host, guest)| vbox::NatForward { name, host_address, host, guest });
    (uuid(), text(), text(), any::<(u32, u64, u32)>(), uuid(), vec(forward, 0..4)).prop_map(
        |(uuid, name, os_type, (cpus, memory_mib, video_mib), disk, forwards)| vbox::VboxMachine {
            uuid,
            name,
            os_type,
            cpus,
            memory_mib,
            video_mib,
            disk,
            forwards,
        },
    )
}

fn system() -> impl Strategy<Value = VirtualSystem> {
    let os = (any::<u16>(), proptest::array::uniform3(of(text())))
        .prop_map(|(id, [description, vbox, vmware])| OperatingSystem { id, description, vbox, vmware });
    let settings = vec((text(), text()), 0..3);
    (text(), of(text()), of(os), of(text()), vec(item(), 0..4), settings, of(machine())).prop_map(
        |(id, name, system, family, items, settings, machine)| VirtualSystem {
            id,
            name,
            system,
            family,
            items,
            settings,
            machine,
        },
    )
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let file = (text(), text(), any::<[Option<u64>; 2]>(), of(text())).prop_map(
        |(id, href, [size, chunk_size], compression)| File { id, href, size, compression, chunk_size },
    );
    let disk = (text(), any::<u64>(), proptest::array::uniform5(of(text()))).prop_map(
        |(id, capacity, [file, units, format, uuid, parent])| VirtualDisk {
            id,
            file,
            capacity,
            units,
            format,
            uuid,
            parent,
        },
    );
    (vec(file, 0..3), vec(disk, 0..3), vec(text(), 0..3), system())
        .prop_map(|(files, disks, networks, system)| Envelope { files, disks, networks, system })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn descriptors_round_trip(envelope in envelope()) {
        prop_assert_eq!(Envelope::parse(&envelope.render()).unwrap(), envelope);
    }

    #[test]
    fn a_damaged_descriptor_is_parsed_or_refused_without_a_panic(
        at in any::<prop::sample::Index>(), with in "[ -~]{0,3}", length in 0_usize..40
    ) {
        let text = virtualbox::descriptor(&export_spec(), 5).render();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[end..]);
        if let Ok(envelope) = Envelope::parse(&damaged) {
            let _ = envelope.disks.iter().map(VirtualDisk::bytes).collect::<Vec<_>>();
        }
    }
}

#[test]
fn descriptors_of_both_hypervisors_have_the_requested_values() {
    for envelope in [virtualbox::descriptor(&export_spec(), 5), vmware::descriptor(&export_spec(), 5)] {
        let read = Envelope::parse(&envelope.render()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.system.quantity(resource::MEMORY), Some(4096));
        assert_eq!(read.system.quantity(resource::PROCESSOR), Some(2));
        assert_eq!(read.disks[0].bytes(), Some(16 << 30));
        assert_eq!(read.files[0].href, "rave-debian-simple-disk1.vmdk");
    }
}

#[test]
fn ports_and_disk_are_in_virtualboxs_extension() {
    let text = virtualbox::descriptor(&export_spec(), 5).render();
    let forward = r#"<Forwarding name="ssh" proto="1" hostip="127.0.0.1" hostport="2223" guestport="22"/>"#;
    assert!(text.contains(forward), "{text}");
    let envelope = Envelope::parse(&text).unwrap();
    let machine = envelope.system.machine.unwrap();
    assert_eq!(Some(machine.disk), envelope.disks[0].uuid);
    assert_eq!(machine.video_mib, 128);
}

#[test]
fn capacities_are_parsed_with_units() {
    let bytes = |capacity, units: &str| {
        let disk = VirtualDisk {
            id: "d".into(),
            file: None,
            capacity,
            units: Some(units.into()),
            format: None,
            uuid: None,
            parent: None,
        };
        disk.bytes()
    };
    assert_eq!(bytes(3, "byte * 2^30"), Some(3 << 30));
    assert_eq!(bytes(3, "MegaBytes"), Some(3 << 20));
    for (capacity, units) in [(3, "byte * 2^64"), (3, "furlongs"), (1 << 60, "byte * 2^20")] {
        assert_eq!(bytes(capacity, units), None, "{units}");
    }
}

#[test]
fn other_documents_are_refused() {
    let error = Envelope::parse("<html/>").unwrap_err().to_string();
    assert_eq!(error, "no OVF descriptor: its root element is html, not Envelope");
}
