// SPDX-License-Identifier: GPL-2.0

//! A queue of requests. Each entry has its link preallocated, so that nothing is allocated under a
//! lock.
//!
//! ```ignore
//! let entry = Entry::new(request)?;      // may sleep, and may fail
//! state.lock().calls.push(entry);        // neither
//! let waiting = state.lock().calls.take();
//! waiting.drain(|request| request.serve(context));
//! ```

use kernel::prelude::*;

/// A request with a preallocated link.
pub(crate) struct Entry<R: ?Sized>(KBox<Link<R>>);

struct Link<R: ?Sized> {
    next: Option<KBox<Link<R>>>,
    request: KBox<R>,
}

impl<R: ?Sized> Entry<R> {
    /// Allocates the link of a request. Fails with `ENOMEM`. May sleep.
    pub(crate) fn new(request: KBox<R>) -> Result<Self> {
        let link = Link {
            next: None,
            request,
        };
        Ok(Self(KBox::new(link, GFP_KERNEL)?))
    }
}

/// Requests in the order in which they were queued.
///
/// The links form a stack with the newest request first. The stack is reversed when the requests
/// are taken out, because a pointer to the last link would need unsafe code.
pub(crate) struct Queue<R: ?Sized>(Option<KBox<Link<R>>>);

impl<R: ?Sized> Queue<R> {
    /// Creates an empty queue.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Appends a request.
    pub(crate) fn push(&mut self, entry: Entry<R>) {
        let mut link = entry.0;
        link.next = self.0.take();
        self.0 = Some(link);
    }

    /// Takes all requests out.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::new())
    }

    /// Appends all requests of another queue.
    pub(crate) fn append(&mut self, mut other: Self) {
        let mut oldest = other.reversed();
        while let Some(mut link) = oldest {
            oldest = link.next.take();
            self.push(Entry(link));
        }
    }

    /// Calls `f` for each request, the oldest first. Each request is dropped after its call.
    pub(crate) fn drain(mut self, mut f: impl FnMut(&mut R)) {
        let mut oldest = self.reversed();
        while let Some(mut link) = oldest {
            oldest = link.next.take();
            f(&mut link.request);
        }
    }

    /// Calls `f` for each request, the oldest first.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&mut R)) {
        let mut oldest = self.reversed();
        while let Some(mut link) = oldest {
            oldest = link.next.take();
            f(&mut link.request);
            self.push(Entry(link));
        }
    }

    /// Empties the queue into a chain of links, the oldest first.
    fn reversed(&mut self) -> Option<KBox<Link<R>>> {
        let mut newest = self.0.take();
        let mut oldest = None;
        while let Some(mut link) = newest {
            newest = link.next.take();
            link.next = oldest;
            oldest = Some(link);
        }
        oldest
    }
}

/// Drops one link at a time. Dropping a long chain recursively would overflow the kernel stack.
impl<R: ?Sized> Drop for Queue<R> {
    fn drop(&mut self) {
        let mut oldest = self.reversed();
        while let Some(mut link) = oldest {
            oldest = link.next.take();
        }
    }
}

#[kunit_tests(damon_rs_queue)]
mod tests {
    use super::*;

    /// Creates a queue of numbers.
    fn queue(numbers: &[u32]) -> Result<Queue<u32>> {
        let mut queue = Queue::new();
        for number in numbers {
            queue.push(Entry::new(KBox::new(*number, GFP_KERNEL)?)?);
        }
        Ok(queue)
    }

    /// Returns whether the queue contains exactly these numbers, in this order.
    fn holds(queue: &mut Queue<u32>, numbers: &[u32]) -> bool {
        let (mut at, mut same) = (0, true);
        queue.for_each(|its| {
            same &= numbers.get(at) == Some(its);
            at += 1;
        });
        same && at == numbers.len()
    }

    #[test]
    fn keeps_the_order() -> Result {
        let mut first = queue(&[1, 2, 3])?;
        assert!(holds(&mut first, &[1, 2, 3]));
        first.append(queue(&[4, 5])?);
        assert!(holds(&mut first, &[1, 2, 3, 4, 5]));
        let taken = first.take();
        assert!(holds(&mut first, &[]));
        let mut sum = 0;
        taken.drain(|its| sum = sum * 10 + *its);
        assert_eq!(sum, 12_345);
        Ok(())
    }

    /// More links than stack frames fit into the stack of a kernel thread.
    #[cfg(CONFIG_KUNIT = "y")]
    const LONG: u32 = 2_000;

    /// More links than stack frames fit into the stack of a thread on the host.
    #[cfg(not(CONFIG_KUNIT = "y"))]
    const LONG: u32 = 100_000;

    #[test]
    fn a_long_queue_is_dropped() -> Result {
        let mut long = Queue::new();
        for number in 0..LONG {
            long.push(Entry::new(KBox::new(number, GFP_KERNEL)?)?);
        }
        drop(long);
        Ok(())
    }
}
