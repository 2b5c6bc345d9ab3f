//! DHCP for the guest (RFC 2131): every guest gets the same address.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};

use crate::lan::{GATEWAY, GUEST, GUEST_MAC, MASK, RESOLVER};

/// The lease time in seconds: longer than the machine runs.
const LEASE: u32 = 86_400;
/// The shortest message in bytes, as in BOOTP (RFC 1542, 2.1): some clients drop shorter ones.
const SHORTEST: usize = 300;

/// The answer to a message of the guest; nothing if none is due.
pub(crate) fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let packet = DhcpPacket::new_checked(bytes).ok()?;
    let message = DhcpRepr::parse(&packet).ok()?;
    if message.client_hardware_address != GUEST_MAC {
        return None;
    }
    // A message for another server (RFC 2131, 4.3.2).
    if message.server_identifier.is_some_and(|server| server != GATEWAY) {
        return None;
    }
    let wanted = message.requested_ip.unwrap_or(message.client_ip);
    let kind = match message.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if wanted == GUEST || wanted.is_unspecified() => DhcpMessageType::Ack,
        DhcpMessageType::Request => DhcpMessageType::Nak,
        DhcpMessageType::Inform => DhcpMessageType::Ack,
        _ => return None,
    };
    let is_lease = kind != DhcpMessageType::Nak && message.message_type != DhcpMessageType::Inform;
    let has_options = kind != DhcpMessageType::Nak;
    let reply = DhcpRepr {
        message_type: kind,
        transaction_id: message.transaction_id,
        secs: 0,
        client_hardware_address: message.client_hardware_address,
        client_ip: message.client_ip,
        your_ip: if is_lease { GUEST } else { Ipv4Addr::UNSPECIFIED },
        server_ip: GATEWAY,
        router: has_options.then_some(GATEWAY),
        subnet_mask: has_options.then_some(MASK),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: message.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        dns_servers: has_options.then(|| [RESOLVER].into_iter().collect()),
        max_size: None,
        lease_duration: is_lease.then_some(LEASE),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut answer = vec![0; reply.buffer_len()];
    reply.emit(&mut DhcpPacket::new_unchecked(&mut answer)).ok()?;
    answer.resize(answer.len().max(SHORTEST), 0);
    Some(answer)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{EthernetAddress, Ipv4Address};

    /// A message as a guest sends it.
    pub(crate) fn message(kind: DhcpMessageType, wanted: Option<Ipv4Address>) -> Vec<u8> {
        let repr = DhcpRepr {
            message_type: kind,
            transaction_id: 7,
            secs: 0,
            client_hardware_address: GUEST_MAC,
            client_ip: Ipv4Address::UNSPECIFIED,
            your_ip: Ipv4Address::UNSPECIFIED,
            server_ip: Ipv4Address::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Address::UNSPECIFIED,
            broadcast: false,
            requested_ip: wanted,
            client_identifier: Some(GUEST_MAC),
            server_identifier: None,
            parameter_request_list: Some(&[1, 3, 6]),
            dns_servers: None,
            max_size: Some(1500),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes)).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> (DhcpMessageType, Ipv4Address, Option<Ipv4Address>) {
        let packet = DhcpPacket::new_checked(bytes).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        (repr.message_type, repr.your_ip, repr.router)
    }

    #[test]
    fn a_guest_gets_its_own_address() {
        let offer = answer(&message(DhcpMessageType::Discover, None)).unwrap();
        assert_eq!(read(&offer), (DhcpMessageType::Offer, GUEST, Some(GATEWAY)));
        let ack = answer(&message(DhcpMessageType::Request, Some(GUEST))).unwrap();
        assert_eq!(read(&ack), (DhcpMessageType::Ack, GUEST, Some(GATEWAY)));
        let nak = answer(&message(DhcpMessageType::Request, Some(Ipv4Address::new(10, 0, 2, 99)))).unwrap();
        assert_eq!(read(&nak), (DhcpMessageType::Nak, Ipv4Address::UNSPECIFIED, None));
    }

    #[test]
    fn other_network_cards_get_no_address() {
        let mut bytes = message(DhcpMessageType::Discover, None);
        DhcpPacket::new_unchecked(&mut bytes)
            .set_client_hardware_address(EthernetAddress([2, 0, 0, 0, 0, 1]));
        assert_eq!(answer(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_damage_is_handled(at in 0usize..400, byte in any::<u8>(), end in 0usize..400) {
            let mut bytes = message(DhcpMessageType::Request, Some(GUEST));
            let length = bytes.len();
            bytes[at % length] = byte;
            answer(&bytes[..end.min(length)]);
        }
    }
}
