//! One message of a key at a time: later ones wait in its lane.

use consign_core::{Key, Offset, Order, Partition};
use std::collections::{HashMap, VecDeque};

/// Where a message lies.
pub(crate) type Place = (Partition, Offset);

/// What is handled one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Key(Key),
    /// With [`Order::Block`], where a whole partition waits for a message.
    Partition(Partition),
}

impl Lane {
    /// The lane of a message; `None`: it waits for nobody.
    pub(crate) fn of(order: Order, partition: Partition, key: Option<&Key>) -> Option<Self> {
        match order {
            Order::Block => Some(Self::Partition(partition)),
            Order::ParkKey | Order::Skip => key.cloned().map(Self::Key),
        }
    }
}

/// The order in which messages are taken: as they came, one of each lane at a time.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    ready: VecDeque<(Place, Option<Lane>)>,
    /// Lanes with a message that is ready or in hand, and what waits behind it.
    behind: HashMap<Lane, VecDeque<Place>>,
}

impl Lanes {
    /// How many messages wait, ready or behind others.
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.behind.values().map(VecDeque::len).sum::<usize>()
    }

    /// A message was read.
    pub(crate) fn arrive(&mut self, place: Place, lane: Option<Lane>) {
        if let Some(of) = &lane {
            if let Some(behind) = self.behind.get_mut(of) {
                return behind.push_back(place);
            }
            self.behind.insert(of.clone(), VecDeque::new());
        }
        self.ready.push_back((place, lane));
    }

    /// The next message that is free to come; its lane is in use until [`Lanes::done`].
    pub(crate) fn next(
        &mut self,
        is_free: impl Fn(Place) -> bool,
    ) -> Option<(Place, Option<Lane>)> {
        let index = self.ready.iter().position(|(place, _)| is_free(*place))?;
        self.ready.remove(index)
    }

    /// The next message behind one that is in hand, for the same call of a batch's handler.
    pub(crate) fn next_behind(&mut self, lane: &Lane) -> Option<Place> {
        self.behind.get_mut(lane)?.pop_front()
    }

    /// What was taken comes again, after what else is ready; its lane stays in use.
    pub(crate) fn hand_back(&mut self, place: Place, lane: Option<Lane>) {
        self.ready.push_back((place, lane));
    }

    /// The message in hand is at its end: the next of its lane is ready.
    pub(crate) fn done(&mut self, lane: &Lane) {
        let Some(behind) = self.behind.get_mut(lane) else { return };
        match behind.pop_front() {
            Some(place) => self.ready.push_back((place, Some(lane.clone()))),
            None => drop(self.behind.remove(lane)),
        }
    }

    /// Forgets what is not in hand, in the partitions that are named.
    pub(crate) fn forget(&mut self, is_forgotten: impl Fn(Partition) -> bool) {
        let ready = std::mem::take(&mut self.ready);
        for ((partition, offset), lane) in ready {
            if !is_forgotten(partition) {
                self.ready.push_back(((partition, offset), lane));
            } else if let Some(lane) = lane {
                self.behind.remove(&lane);
            }
        }
        for behind in self.behind.values_mut() {
            behind.retain(|(partition, _)| !is_forgotten(*partition));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Lanes, Place};
    use consign_core::{Key, Offset, Order, Partition};

    fn arrive(lanes: &mut Lanes, offset: u64, key: Option<&str>) {
        let (partition, key) = (Partition(0), key.map(|key| Key::new(key.to_owned()).unwrap()));
        lanes
            .arrive((partition, Offset(offset)), Lane::of(Order::ParkKey, partition, key.as_ref()));
    }

    fn offset(taken: Option<(Place, Option<Lane>)>) -> Option<u64> {
        taken.map(|((_, offset), _)| offset.0)
    }

    #[test]
    fn one_message_of_a_key_is_in_hand_and_others_pass_it() {
        let mut lanes = Lanes::default();
        arrive(&mut lanes, 1, Some("a"));
        arrive(&mut lanes, 2, Some("a"));
        arrive(&mut lanes, 3, None);
        let (_, lane) = lanes.next(|_| true).unwrap();
        assert_eq!(offset(lanes.next(|_| true)), Some(3));
        assert_eq!(offset(lanes.next(|_| true)), None, "2 waits for 1");
        lanes.done(&lane.unwrap());
        assert_eq!(offset(lanes.next(|_| true)), Some(2));
    }

    #[test]
    fn a_lane_whose_last_message_is_done_is_gone() {
        let mut lanes = Lanes::default();
        arrive(&mut lanes, 1, Some("a"));
        let (_, lane) = lanes.next(|_| true).unwrap();
        lanes.done(&lane.unwrap());
        assert!(lanes.behind.is_empty());
    }

    #[test]
    fn what_is_in_hand_is_not_forgotten() {
        let mut lanes = Lanes::default();
        arrive(&mut lanes, 1, Some("a"));
        arrive(&mut lanes, 2, Some("a"));
        arrive(&mut lanes, 3, Some("b"));
        lanes.next(|_| true);
        lanes.forget(|_| true);
        arrive(&mut lanes, 2, Some("a"));
        arrive(&mut lanes, 3, Some("b"));
        assert_eq!(offset(lanes.next(|_| true)), Some(3), "2 still waits for 1");
        assert_eq!(offset(lanes.next(|_| true)), None);
    }
}
