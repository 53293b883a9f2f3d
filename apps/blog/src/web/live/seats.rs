//! How many streams may be open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::problem::Problem;

/// A stream holds a connection, and the server has 1,024 of them: the rest is for requests.
const STREAMS_MAX: usize = 640;
/// Many people may share an address, and one of them must not take every stream.
const STREAMS_OF_ADDRESS_MAX: usize = 320;

#[derive(Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A stream's place; free again when it is dropped.
pub(super) struct Seat {
    address: IpAddr,
    seats: Seats,
}

impl Seats {
    pub(super) fn take(&self, address: IpAddr) -> Result<Seat, Problem> {
        let mut taken = self.taken();
        let of_address = taken.get(&address).copied().unwrap_or_default();
        if of_address >= STREAMS_OF_ADDRESS_MAX || taken.values().sum::<usize>() >= STREAMS_MAX {
            return Err(Problem::busy("too many pages are open: this one changes when reloaded"));
        }
        taken.insert(address, of_address + 1);
        drop(taken);
        Ok(Seat { address, seats: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        match taken.get_mut(&self.address) {
            Some(of_address) if *of_address > 1 => *of_address -= 1,
            _ => {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn one_address_cannot_take_every_stream() {
        let seats = Seats::default();
        let mut taken: Vec<_> =
            (0..STREAMS_OF_ADDRESS_MAX).map(|_| seats.take(address(1)).unwrap()).collect();
        assert!(seats.take(address(1)).is_err());
        assert!(seats.take(address(2)).is_ok());
        taken.pop();
        assert!(seats.take(address(1)).is_ok(), "a seat that was left is free");
    }

    #[test]
    fn all_addresses_together_leave_connections_for_requests() {
        let seats = Seats::default();
        let taken: Vec<_> = (0..u32::try_from(STREAMS_MAX).unwrap())
            .map(|number| seats.take(address(number)).unwrap())
            .collect();
        assert!(seats.take(address(u32::MAX)).is_err());
        drop(taken);
        assert!(seats.taken().is_empty(), "nothing is kept of who went");
    }
}
