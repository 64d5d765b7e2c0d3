//! A group of ranks and its collective operations. Every rank calls the same operations in the same order.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::time::Duration;

use tch::{Device, Tensor};

use super::ffi::{self, RawGroup, RawWork};
use super::launch::Launch;
use crate::base::OpError;

/// How long a rank waits for the others where nobody says so: long for a step, short beside a night.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The class of a failure that another rank's failure is the cause of.
pub const PEER: &str = "peer";

/// The ranks of one training; one of its own where it is alone, and every operation then leaves things as they are.
pub struct Group<'a> {
    launch: Launch,
    device: Device,
    raw: Option<NonNull<RawGroup>>,
    /// An operation failed: some may never end.
    broken: Rc<Cell<bool>>,
    told: Box<dyn Fn(&str) + 'a>,
}

/// How values of all ranks become one.
#[derive(Clone, Copy, Debug)]
enum Fold {
    Sum = 0,
    Most = 1,
}

/// An operation under way; its tensors live until it is done.
#[must_use]
pub struct Pending {
    raw: Option<NonNull<RawWork>>,
    broken: Rc<Cell<bool>>,
    _tensors: Vec<Tensor>,
}

impl<'a> Group<'a> {
    /// Returns a group of one.
    pub fn alone() -> Self {
        Self::alone_on(Device::Cpu)
    }

    /// As [`Self::alone`], with its tensors on a device.
    pub fn alone_on(device: Device) -> Self {
        Self { launch: Launch::alone(), device, raw: None, broken: Rc::default(), told: Box::new(|_| ()) }
    }

    /// Meets the other ranks: over Gloo for tensors on a processor, over NCCL for tensors on a GPU. `told` hears what the rank waits for.
    ///
    /// # Errors
    /// Class `peer` when they do not come within `patience`; `E0712` without NCCL.
    pub fn join(
        launch: &Launch,
        device: Device,
        patience: Duration,
        told: Box<dyn Fn(&str) + 'a>,
    ) -> Result<Self, OpError> {
        if launch.world == 1 {
            return Ok(Self { launch: launch.clone(), device, raw: None, broken: Rc::default(), told });
        }
        let nccl = if device.is_cuda() { nccl()? } else { null_mut() };
        told("meets the other ranks");
        let raw = joined(launch, patience, nccl).map_err(|why| {
            lost(format!("the {} ranks do not meet at {}:{}: {why}", launch.world, launch.host, launch.port))
        })?;
        Ok(Self { launch: launch.clone(), device, raw: Some(raw), broken: Rc::default(), told })
    }

    /// Returns this process's number, from 0.
    pub fn rank(&self) -> usize {
        self.launch.rank
    }

    /// Returns the number of ranks.
    pub fn world(&self) -> usize {
        self.launch.world
    }

    /// Returns where the tensors lie that ranks exchange.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Says whether this is the rank that writes.
    pub fn first(&self) -> bool {
        self.launch.rank == 0
    }

    /// Tells what this rank does, for a message about a group that ended badly.
    pub fn tell(&self, what: &str) {
        if self.world() > 1 {
            (self.told)(what);
        }
    }

    /// Starts to replace a tensor by its sum over all ranks: the same bits on each.
    ///
    /// # Errors
    /// Class `peer`, here and in all operations, when another rank is gone or silent for too long.
    pub fn start_sum(&self, tensor: &Tensor) -> Result<Pending, OpError> {
        self.all_reduce(tensor, Fold::Sum)
    }

    /// Starts to write the sum over all ranks of part `rank` of `whole` into `part`.
    ///
    /// # Shapes
    /// `part`: `[m]`; `whole`: `[world · m]`; contiguous.
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn start_scatter(&self, part: &Tensor, whole: &Tensor) -> Result<Pending, OpError> {
        let tensors = vec![part.shallow_clone(), whole.shallow_clone()];
        if self.raw.is_none() {
            copy(part, whole);
        }
        self.started(tensors, |group, t, out| call::reduce_scatter(group, t[0], t[1], out))
    }

    /// Starts to write the parts of all ranks into `whole`, in their order.
    ///
    /// # Shapes
    /// As [`Self::start_scatter`].
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn start_gather(&self, whole: &Tensor, part: &Tensor) -> Result<Pending, OpError> {
        let tensors = vec![whole.shallow_clone(), part.shallow_clone()];
        if self.raw.is_none() {
            copy(whole, part);
        }
        self.started(tensors, |group, t, out| call::all_gather(group, t[0], t[1], out))
    }

    /// Replaces values by their sums over all ranks.
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn sum(&self, values: &mut [f64]) -> Result<(), OpError> {
        self.values(values, Fold::Sum)
    }

    /// Replaces values by their maxima over all ranks.
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn most(&self, values: &mut [f64]) -> Result<(), OpError> {
        self.values(values, Fold::Most)
    }

    /// Replaces values by those of rank 0.
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn follow(&self, values: &mut [f64]) -> Result<(), OpError> {
        self.exchanged(values, |tensor| {
            self.started(vec![tensor], |group, t, out| call::broadcast(group, t[0], 0, out))
        })
    }

    /// Waits until all ranks have come here.
    ///
    /// # Errors
    /// As [`Self::start_sum`].
    pub fn meet(&self) -> Result<(), OpError> {
        self.sum(&mut [0.0])
    }

    fn values(&self, values: &mut [f64], fold: Fold) -> Result<(), OpError> {
        self.exchanged(values, |tensor| self.all_reduce(&tensor, fold))
    }

    fn exchanged(
        &self,
        values: &mut [f64],
        start: impl FnOnce(Tensor) -> Result<Pending, OpError>,
    ) -> Result<(), OpError> {
        if self.raw.is_none() || values.is_empty() {
            return Ok(());
        }
        let tensor = Tensor::from_slice(values).to_device(self.device);
        start(tensor.shallow_clone())?.wait()?;
        tensor.to_device(Device::Cpu).copy_data(values, values.len());
        Ok(())
    }

    fn all_reduce(&self, tensor: &Tensor, fold: Fold) -> Result<Pending, OpError> {
        self.started(vec![tensor.shallow_clone()], |group, t, out| call::all_reduce(group, t[0], fold as c_int, out))
    }

    /// Starts an operation on tensors, which the result keeps.
    fn started(
        &self,
        mut tensors: Vec<Tensor>,
        start: impl FnOnce(*mut RawGroup, &[*mut c_void], *mut *mut RawWork) -> Result<(), String>,
    ) -> Result<Pending, OpError> {
        let broken = Rc::clone(&self.broken);
        let Some(raw) = self.raw else { return Ok(Pending { raw: None, broken, _tensors: tensors }) };
        let pointers: Vec<*mut c_void> = tensors.iter_mut().map(|t| t.as_mut_ptr().cast()).collect();
        let mut work = null_mut();
        noted(&broken, start(raw.as_ptr(), &pointers, &raw mut work))?;
        Ok(Pending { raw: NonNull::new(work), broken, _tensors: tensors })
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // A group that is broken may wait for ever for what never comes; the process ends soon, and the system cleans up.
        if let Some(raw) = self.raw.take().filter(|_| !self.broken.get()) {
            call::leave(raw.as_ptr());
        }
    }
}

impl Pending {
    /// Waits for the operation; on a GPU, whatever comes next waits for it.
    ///
    /// # Errors
    /// As [`Group::start_sum`].
    pub fn wait(mut self) -> Result<(), OpError> {
        self.raw.take().map_or(Ok(()), |work| noted(&self.broken, call::wait(work.as_ptr())))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The other side still writes into the tensors.
        if let Some(work) = self.raw.take() {
            let _ = noted(&self.broken, call::wait(work.as_ptr()));
        }
    }
}

fn copy(to: &Tensor, from: &Tensor) {
    if to.data_ptr() != from.data_ptr() {
        tch::no_grad(|| to.shallow_clone().copy_(from));
    }
}

fn noted(broken: &Cell<bool>, result: Result<(), String>) -> Result<(), OpError> {
    broken.set(broken.get() || result.is_err());
    result.map_err(gone)
}

fn gone(why: String) -> OpError {
    lost(format!("a rank of the group is gone or silent: {why}"))
}

fn lost(message: String) -> OpError {
    OpError::new("E0612", message).class(PEER).help("look at the other ranks: the first that ended says why")
}

fn joined(launch: &Launch, patience: Duration, nccl: *mut c_void) -> Result<NonNull<RawGroup>, String> {
    let address = launch.own_address().map_err(|e| e.message)?;
    let text = |s: &str| CString::new(s).map_err(|e| e.to_string());
    let (host, address) = (text(&launch.host)?, text(&address)?);
    let number = |n: usize| c_int::try_from(n).unwrap_or(c_int::MAX);
    let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let mut out = null_mut();
    call::join(
        (&host, c_int::from(launch.port), launch.listening.unwrap_or(-1)),
        (number(launch.rank), number(launch.world)),
        patience,
        &address,
        nccl,
        &raw mut out,
    )?;
    NonNull::new(out).ok_or_else(|| "no group was made".to_owned())
}

/// Loads the library for NCCL and returns the function that makes a group with it.
#[allow(unsafe_code)]
fn nccl() -> Result<*mut c_void, OpError> {
    let refused = |why: &str| {
        OpError::new("E0712", format!("several GPUs cannot train together: {why}"))
            .help("`rbpipe engine install --cuda` builds the engine with NCCL; `with { gpus: 1 }` takes one GPU")
    };
    let path = option_env!("RBPIPE_NCCL").unwrap_or_default();
    let name = CString::new(path).ok().filter(|_| !path.is_empty());
    let name = name.ok_or_else(|| refused("the engine is built without NCCL"))?;
    // SAFETY: both names end in 0; loading the library registers nothing and runs nothing of its own.
    let found = unsafe {
        let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        if library.is_null() { null_mut() } else { libc::dlsym(library, c"rb_nccl".as_ptr()) }
    };
    if found.is_null() { Err(refused(&format!("`{path}` cannot be loaded"))) } else { Ok(found) }
}

/// The calls through the C face. Pointers come from it and are used by one thread.
#[allow(unsafe_code)]
mod call {
    use super::*;

    fn said(message: *mut c_char) -> Result<(), String> {
        if message.is_null() {
            return Ok(());
        }
        // SAFETY: a text that ends in 0, made for this call and freed once.
        unsafe {
            let text = CStr::from_ptr(message).to_string_lossy().lines().next().unwrap_or("").to_owned();
            ffi::rb_free(message);
            Err(text)
        }
    }

    pub(super) fn join(
        (host, port, listening): (&CStr, c_int, c_int),
        (rank, world): (c_int, c_int),
        patience: i64,
        address: &CStr,
        nccl: *mut c_void,
        out: *mut *mut RawGroup,
    ) -> Result<(), String> {
        // SAFETY: texts outlive the call; `out` is a place for a pointer.
        said(unsafe {
            ffi::rb_join(host.as_ptr(), port, listening, rank, world, patience, address.as_ptr(), nccl, out)
        })
    }

    pub(super) fn all_reduce(
        group: *mut RawGroup,
        tensor: *mut c_void,
        what: c_int,
        out: *mut *mut RawWork,
    ) -> Result<(), String> {
        // SAFETY: here and below, live pointers of the C face and of tensors that `Pending` keeps.
        said(unsafe { ffi::rb_all_reduce(group, tensor, what, out) })
    }

    pub(super) fn reduce_scatter(
        group: *mut RawGroup,
        part: *mut c_void,
        whole: *mut c_void,
        out: *mut *mut RawWork,
    ) -> Result<(), String> {
        said(unsafe { ffi::rb_reduce_scatter(group, part, whole, out) })
    }

    pub(super) fn all_gather(
        group: *mut RawGroup,
        whole: *mut c_void,
        part: *mut c_void,
        out: *mut *mut RawWork,
    ) -> Result<(), String> {
        said(unsafe { ffi::rb_all_gather(group, whole, part, out) })
    }

    pub(super) fn broadcast(
        group: *mut RawGroup,
        tensor: *mut c_void,
        root: c_int,
        out: *mut *mut RawWork,
    ) -> Result<(), String> {
        said(unsafe { ffi::rb_broadcast(group, tensor, root, out) })
    }

    pub(super) fn leave(group: *mut RawGroup) {
        // SAFETY: the group's only owner gives it up.
        unsafe { ffi::rb_leave(group) };
    }

    pub(super) fn wait(work: *mut RawWork) -> Result<(), String> {
        said(unsafe { ffi::rb_wait(work) })
    }
}
