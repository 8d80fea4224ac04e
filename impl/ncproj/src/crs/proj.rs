//! PROJ, called safely: coordinate systems by their definitions, and the way from one to another.
//!
//! PROJ is compiled in, with its data base. It reads no file: no grid of shifts, no other data base, whatever the
//! environment says, so that the same input gives the same result on each machine. What belongs to PROJ stays in the
//! thread that made it.

use proj_sys as sys;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::rc::Rc;

/// PROJ listens to many variables of the environment; none of them may change a result.
///
/// # Safety
/// No other thread may run yet.
pub unsafe fn forget_environment() {
    let ours = |n: &std::ffi::OsStr| n.to_str().is_some_and(|n| n.starts_with("PROJ_"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| ours(n)) {
        // SAFETY: the caller promises that there is no other thread.
        unsafe { std::env::remove_var(name) };
    }
}

struct Context(*mut sys::PJ_CONTEXT);

unsafe extern "C" fn silent(_: *mut c_void, _: c_int, _: *const c_char) {}

unsafe extern "C" fn no_file(
    _: *mut sys::PJ_CONTEXT,
    _: *const c_char,
    _: sys::PROJ_OPEN_ACCESS,
    _: *mut c_void,
) -> *mut sys::PROJ_FILE_HANDLE {
    null_mut()
}

unsafe extern "C" fn not_there(_: *mut sys::PJ_CONTEXT, _: *const c_char, _: *mut c_void) -> c_int {
    0
}

unsafe extern "C" fn not_renamed(
    _: *mut sys::PJ_CONTEXT,
    _: *const c_char,
    _: *const c_char,
    _: *mut c_void,
) -> c_int {
    0
}

unsafe extern "C" fn no_read(
    _: *mut sys::PJ_CONTEXT,
    _: *mut sys::PROJ_FILE_HANDLE,
    _: *mut c_void,
    _: usize,
    _: *mut c_void,
) -> usize {
    0
}

unsafe extern "C" fn no_write(
    _: *mut sys::PJ_CONTEXT,
    _: *mut sys::PROJ_FILE_HANDLE,
    _: *const c_void,
    _: usize,
    _: *mut c_void,
) -> usize {
    0
}

unsafe extern "C" fn no_seek(
    _: *mut sys::PJ_CONTEXT,
    _: *mut sys::PROJ_FILE_HANDLE,
    _: std::ffi::c_longlong,
    _: c_int,
    _: *mut c_void,
) -> c_int {
    0
}

unsafe extern "C" fn no_tell(
    _: *mut sys::PJ_CONTEXT,
    _: *mut sys::PROJ_FILE_HANDLE,
    _: *mut c_void,
) -> std::ffi::c_ulonglong {
    0
}

unsafe extern "C" fn no_close(
    _: *mut sys::PJ_CONTEXT,
    _: *mut sys::PROJ_FILE_HANDLE,
    _: *mut c_void,
) {
}

/// A file system without files.
static NO_FILES: sys::PROJ_FILE_API = sys::PROJ_FILE_API {
    version: 1,
    open_cbk: Some(no_file),
    read_cbk: Some(no_read),
    write_cbk: Some(no_write),
    seek_cbk: Some(no_seek),
    tell_cbk: Some(no_tell),
    close_cbk: Some(no_close),
    exists_cbk: Some(not_there),
    mkdir_cbk: Some(not_there),
    unlink_cbk: Some(not_there),
    rename_cbk: Some(not_renamed),
};

impl Context {
    fn new() -> Context {
        // SAFETY: PROJ takes null for its own default context; the callbacks live as long as the program.
        unsafe {
            let raw = sys::proj_context_create();
            sys::proj_log_func(raw, null_mut(), Some(silent));
            sys::proj_context_set_fileapi(raw, &NO_FILES, null_mut());
            sys::proj_context_set_enable_network(raw, 0);
            Context(raw)
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by proj_context_create; objects hold the context by `Rc`, so none is left.
        unsafe { sys::proj_context_destroy(self.0) };
    }
}

thread_local! {
    static HERE: Rc<Context> = Rc::new(Context::new());
    /// Operations by their projection's number.
    static OPERATIONS: RefCell<Vec<(u64, Option<Object>)>> = const { RefCell::new(Vec::new()) };
    /// The one that was used last; numbers begin at 1.
    static LAST: Cell<(u64, *mut sys::PJ)> = const { Cell::new((0, null_mut())) };
}

/// Something of PROJ's: a coordinate system, an operation, an ellipsoid.
struct Object {
    raw: *mut sys::PJ,
    context: Rc<Context>,
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: made by PROJ for us, and not null.
        unsafe { sys::proj_destroy(self.raw) };
    }
}

fn text_of(raw: *const c_char) -> Option<String> {
    // SAFETY: PROJ's texts end with a zero and are copied at once.
    (!raw.is_null()).then(|| unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned())
}

impl Object {
    fn own(raw: *mut sys::PJ, context: &Rc<Context>) -> Option<Object> {
        (!raw.is_null()).then(|| Object { raw, context: Rc::clone(context) })
    }

    fn create(text: &str) -> Option<Object> {
        let text = CString::new(text).ok()?;
        let here = HERE.with(Rc::clone);
        // SAFETY: both live through the call.
        Object::own(unsafe { sys::proj_create(here.0, text.as_ptr()) }, &here)
    }

    fn kind(&self) -> sys::PJ_TYPE {
        // SAFETY: `raw` is a living object; so in all that follows.
        unsafe { sys::proj_get_type(self.raw) }
    }

    fn name(&self) -> String {
        text_of(unsafe { sys::proj_get_name(self.raw) }).unwrap_or_default()
    }

    fn made(
        &self,
        f: unsafe extern "C" fn(*mut sys::PJ_CONTEXT, *const sys::PJ) -> *mut sys::PJ,
    ) -> Option<Object> {
        Object::own(unsafe { f(self.context.0, self.raw) }, &self.context)
    }

    fn normalized(&self) -> Option<Object> {
        self.made(sys::proj_normalize_for_visualization)
    }

    fn json(&self) -> Option<String> {
        text_of(unsafe { sys::proj_as_projjson(self.context.0, self.raw, null()) })
    }

    fn words(&self, version: sys::PJ_PROJ_STRING_TYPE) -> Option<String> {
        text_of(unsafe { sys::proj_as_proj_string(self.context.0, self.raw, version, null()) })
    }

    fn code(&self) -> Option<String> {
        text_of(unsafe { sys::proj_get_id_code(self.raw, 0) })
    }

    /// x and y; longitude first and in degrees for systems, in radians for plain projections.
    fn transform(&self, back: bool, x: f64, y: f64) -> Option<[f64; 2]> {
        unsafe { trans(self.raw, back, x, y) }
    }

    /// What a file means by this system: the part in the plane, without heights.
    fn horizontal(self) -> Result<Object, String> {
        let lost = |o: &Object| format!("the part of `{}` in the plane is not to be had", o.name());
        let mut at = self;
        for _ in 0..8 {
            let next = match at.kind() {
                sys::PJ_TYPE_PJ_TYPE_COMPOUND_CRS => Object::own(
                    unsafe { sys::proj_crs_get_sub_crs(at.context.0, at.raw, 0) },
                    &at.context,
                ),
                sys::PJ_TYPE_PJ_TYPE_COORDINATE_METADATA => at.made(sys::proj_get_source_crs),
                sys::PJ_TYPE_PJ_TYPE_GEOGRAPHIC_3D_CRS => at.flat(),
                sys::PJ_TYPE_PJ_TYPE_PROJECTED_CRS if at.axes() > 2 => at.flat(),
                sys::PJ_TYPE_PJ_TYPE_BOUND_CRS
                    if at.made(sys::proj_get_source_crs).is_some_and(|s| {
                        s.kind() == sys::PJ_TYPE_PJ_TYPE_COMPOUND_CRS || s.axes() > 2
                    }) =>
                {
                    at.made(sys::proj_get_source_crs)
                }
                _ => return Ok(at),
            };
            at = next.ok_or_else(|| lost(&at))?;
        }
        Err(lost(&at))
    }

    fn flat(&self) -> Option<Object> {
        let f = |c, o: *const sys::PJ| unsafe { sys::proj_crs_demote_to_2D(c, null(), o) };
        Object::own(f(self.context.0, self.raw), &self.context)
    }

    fn axes(&self) -> c_int {
        self.made(sys::proj_crs_get_coordinate_system)
            .map_or(0, |cs| unsafe { sys::proj_cs_get_axis_count(cs.context.0, cs.raw) })
    }

    /// How many of the system's units are a metre (a radian), and what the unit is called.
    fn unit(&self) -> Option<(f64, String)> {
        if self.kind() == sys::PJ_TYPE_PJ_TYPE_BOUND_CRS {
            return self.made(sys::proj_get_source_crs)?.unit();
        }
        let cs = self.made(sys::proj_crs_get_coordinate_system)?;
        let (mut factor, mut name) = (0.0, null());
        let fine = unsafe {
            sys::proj_cs_get_axis_info(
                cs.context.0,
                cs.raw,
                0,
                null_mut(),
                null_mut(),
                null_mut(),
                &mut factor,
                &mut name,
                null_mut(),
                null_mut(),
            )
        };
        (fine != 0).then(|| (factor, text_of(name).unwrap_or_default()))
    }

    /// Degrees of the meridian from which longitudes count.
    fn meridian(&self) -> f64 {
        let Some(m) = self.made(sys::proj_get_prime_meridian) else { return 0.0 };
        let (mut value, mut factor) = (0.0, 0.0);
        unsafe {
            sys::proj_prime_meridian_get_parameters(
                m.context.0,
                m.raw,
                &mut value,
                &mut factor,
                null_mut(),
            )
        };
        if value == 0.0 { 0.0 } else { value * in_degrees(factor) }
    }

    fn half_axes(&self) -> Option<(f64, f64)> {
        let e = self.made(sys::proj_get_ellipsoid)?;
        let (mut a, mut b, mut computed, mut f) = (0.0, 0.0, 0, 0.0);
        let fine = unsafe {
            sys::proj_ellipsoid_get_parameters(
                e.context.0,
                e.raw,
                &mut a,
                &mut b,
                &mut computed,
                &mut f,
            )
        };
        (fine != 0).then_some((a, b))
    }

    /// The system of EPSG that this one is without saying so, as GDAL looks for it.
    fn identified(&self) -> Option<Object> {
        let epsg = c"EPSG".as_ptr();
        let mut sure: *mut c_int = null_mut();
        let list = unsafe { sys::proj_identify(self.context.0, self.raw, epsg, null(), &mut sure) };
        if list.is_null() {
            return None;
        }
        let count = unsafe { sys::proj_list_get_count(list) };
        let fit: Vec<c_int> = (0..count)
            // SAFETY: PROJ gives as many confidences as there are objects.
            .filter(|k| !sure.is_null() && unsafe { *sure.add(*k as usize) } >= 90)
            .collect();
        let found = match fit[..] {
            [one] => {
                Object::own(unsafe { sys::proj_list_get(self.context.0, list, one) }, &self.context)
            }
            _ => None,
        };
        unsafe {
            sys::proj_int_list_destroy(sure);
            sys::proj_list_destroy(list);
        }
        found
    }
}

/// A factor to radians as one to degrees; a degree itself is exactly 1.
fn in_degrees(factor: f64) -> f64 {
    let degrees = factor.to_degrees();
    if (degrees - 1.0).abs() < 1e-9 { 1.0 } else { degrees }
}

/// A coordinate system of this Earth, of two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    pub name: String,
    /// PROJJSON.
    pub text: String,
    /// Longitude and latitude, whatever their unit and meridian.
    pub geographic: bool,
}

impl System {
    /// Well-known text, PROJJSON, PROJ's own words, `EPSG:4326`, a URN or an address of OGC.
    pub fn read(text: &str) -> Result<System, String> {
        let text = text.trim_start_matches('\u{feff}').trim_matches(['\0', ' ', '\t', '\r', '\n']);
        let words = text.contains("proj=") && !text.contains(['[', '{']);
        let text = match words && !text.contains("type=crs") {
            true => format!("{text} +type=crs"),
            false => text.to_string(),
        };
        let short = || {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut: String = line.chars().take(60).collect();
            if cut.len() < line.len() { format!("{cut}...") } else { cut }
        };
        let unknown = || format!("PROJ cannot read `{}` as a coordinate system", short());
        let object = Object::create(&text).ok_or_else(unknown)?;
        let named = !text.contains(['[', '{', ':', '=']);
        if named && !object.name().eq_ignore_ascii_case(&text) {
            return Err(unknown()); // PROJ guesses at names
        }
        let object = object.horizontal()?;
        let kind = match object.kind() {
            sys::PJ_TYPE_PJ_TYPE_BOUND_CRS => {
                object.made(sys::proj_get_source_crs).map_or(0, |s| s.kind())
            }
            kind => kind,
        };
        let refused = |what: &str| Err(format!("`{}` is {what}", object.name()));
        let geographic = match kind {
            sys::PJ_TYPE_PJ_TYPE_GEOGRAPHIC_2D_CRS => unsafe {
                sys::proj_is_derived_crs(object.context.0, object.raw) == 0
            },
            sys::PJ_TYPE_PJ_TYPE_PROJECTED_CRS | sys::PJ_TYPE_PJ_TYPE_DERIVED_PROJECTED_CRS => {
                false
            }
            sys::PJ_TYPE_PJ_TYPE_ENGINEERING_CRS => {
                return refused("a local system, bound to no place on the Earth");
            }
            sys::PJ_TYPE_PJ_TYPE_GEOCENTRIC_CRS => {
                return refused("geocentric: its coordinates count from the middle of the Earth");
            }
            sys::PJ_TYPE_PJ_TYPE_VERTICAL_CRS => return refused("a system of heights alone"),
            sys::PJ_TYPE_PJ_TYPE_TEMPORAL_CRS => return refused("a system of times"),
            _ => return Err(unknown()),
        };
        let object = match object.code() {
            None if kind == object.kind() => object.identified().unwrap_or(object),
            _ => object,
        };
        let text = object.json().ok_or_else(unknown)?;
        Ok(System { name: object.name(), text, geographic })
    }

    fn object(&self) -> Result<Object, String> {
        Object::create(&self.text).ok_or_else(|| format!("PROJ cannot read `{}` again", self.name))
    }

    /// The longitudes and latitudes below a projection, or the system itself.
    pub fn base(&self) -> Result<System, String> {
        let whole = self.object()?;
        let mut o =
            whole.made(sys::proj_crs_get_geodetic_crs).ok_or("it has no geographic system")?;
        if whole.kind() == sys::PJ_TYPE_PJ_TYPE_BOUND_CRS
            && let Some(hub) = whole.made(sys::proj_get_target_crs)
            && let Some(change) = whole.made(sys::proj_crs_get_coordoperation)
        {
            let c = &o.context;
            let bound = unsafe { sys::proj_crs_create_bound_crs(c.0, o.raw, hub.raw, change.raw) };
            o = Object::own(bound, c).unwrap_or(o);
        }
        let text = o.json().ok_or("its geographic system cannot be written")?;
        Ok(System { name: o.name(), text, geographic: true })
    }

    /// The projection in PROJ's words, without its datum's change to another.
    pub fn words(&self) -> Result<String, String> {
        let mut o = self.object()?;
        if o.kind() == sys::PJ_TYPE_PJ_TYPE_BOUND_CRS
            && let Some(source) = o.made(sys::proj_get_source_crs)
        {
            o = source;
        }
        o.words(sys::PJ_PROJ_STRING_TYPE_PJ_PROJ_4)
            .ok_or_else(|| format!("PROJ has no words for the projection of `{}`", self.name))
    }

    /// How many degrees (metres) one of its units is, and the unit's name.
    pub fn unit(&self) -> Result<(f64, String), String> {
        let (factor, name) = self.object()?.unit().ok_or("it has no unit")?;
        Ok((if self.geographic { in_degrees(factor) } else { factor }, name))
    }

    /// Degrees from Greenwich to the meridian from which it counts.
    pub fn meridian(&self) -> Result<f64, String> {
        Ok(self.object()?.meridian())
    }

    pub fn half_axes(&self) -> Result<(f64, f64), String> {
        self.object()?.half_axes().ok_or_else(|| "it names no ellipsoid".to_string())
    }
}

/// One of the operations that PROJ chooses from, by where a point lies.
struct Candidate {
    /// West, south, east, north in degrees; west > east across the date line.
    area: [f64; 4],
    /// It leaves all coordinates as they are.
    null: bool,
    /// It takes two datums as the same, for want of better.
    ballpark: bool,
}

impl Candidate {
    fn touches(&self, [west, south, east, north]: [f64; 4]) -> bool {
        let [w, s, e, n] = self.area;
        if north < s || south > n {
            return false;
        }
        let spans = if w <= e { vec![(w, e)] } else { vec![(w, 180.0), (-180.0, e)] };
        let turns = [-360.0, 0.0, 360.0];
        spans.iter().any(|(w, e)| turns.iter().any(|t| west + t <= *e && east + t >= *w))
    }
}

/// The way from one system to longitude and latitude on another's datum, in degrees from Greenwich.
pub struct Transfer {
    ends: (Object, Object),
    /// Made when a point needs it: most regions stay where they are.
    way: OnceCell<Option<Object>>,
    /// For a projected system: its own longitude and latitude, to see whether a point is on the map at all.
    own: Option<Object>,
    /// It goes on beyond 180 degrees east and west.
    endless: bool,
    candidates: Vec<Candidate>,
    /// Degrees per unit of the target, and its meridian.
    unit: f64,
    meridian: f64,
    /// The same of the source, where it is geographic.
    from: Option<(f64, f64)>,
}

fn between(from: &Object, to: &Object) -> Option<Object> {
    let c = &from.context;
    // There are no grids: leave out at once what needs them, which PROJ would find out at each point.
    let options = [c"ONLY_BEST=NO".as_ptr(), null()];
    let way = unsafe {
        sys::proj_create_crs_to_crs_from_pj(c.0, from.raw, to.raw, null_mut(), options.as_ptr())
    };
    Object::own(way, c)?.normalized()
}

/// The operations that `between` has, those without the grids that they need left out.
fn candidates(from: &Object, to: &Object) -> Vec<Candidate> {
    let c = from.context.0;
    let mut out = Vec::new();
    // SAFETY: all made and destroyed here; PROJ takes null lists as empty.
    unsafe {
        let factory = sys::proj_create_operation_factory_context(c, null());
        if factory.is_null() {
            return out;
        }
        sys::proj_operation_factory_context_set_spatial_criterion(
            c,
            factory,
            sys::PROJ_SPATIAL_CRITERION_PROJ_SPATIAL_CRITERION_PARTIAL_INTERSECTION,
        );
        sys::proj_operation_factory_context_set_grid_availability_use(
            c,
            factory,
            sys::PROJ_GRID_AVAILABILITY_USE_PROJ_GRID_AVAILABILITY_DISCARD_OPERATION_IF_MISSING_GRID,
        );
        let list = sys::proj_create_operations(c, from.raw, to.raw, factory);
        sys::proj_operation_factory_context_destroy(factory);
        if list.is_null() {
            return out;
        }
        for k in 0..sys::proj_list_get_count(list) {
            let Some(o) = Object::own(sys::proj_list_get(c, list, k), &from.context) else {
                continue;
            };
            let mut area = [-180.0, -90.0, 180.0, 90.0];
            let [w, s, e, n] = &mut area;
            let fine = sys::proj_get_area_of_use(c, o.raw, w, s, e, n, null_mut()) != 0;
            if !fine || area[0] < -1000.0 {
                area = [-180.0, -90.0, 180.0, 90.0];
            }
            let words = o.normalized().and_then(|o| o.words(sys::PJ_PROJ_STRING_TYPE_PJ_PROJ_5));
            out.push(Candidate {
                area,
                null: words.is_some_and(|w| w == "+proj=noop"),
                ballpark: sys::proj_coordoperation_has_ballpark_transformation(c, o.raw) != 0,
            });
        }
        sys::proj_list_destroy(list);
    }
    out
}

/// Projections that show all longitudes side by side: a point beyond 180 degrees is one of the next turn.
const ENDLESS: [&str; 7] = ["merc", "webmerc", "eqc", "cea", "mill", "gall", "longlat"];

impl Transfer {
    pub fn new(from: &System, to: &System) -> Result<Transfer, String> {
        let (source, target) = (from.object()?, to.object()?);
        let none = || {
            format!(
                "PROJ knows no way from `{}` to `{}`: a parameter is missing or does not fit",
                from.name, to.name
            )
        };
        let candidates = candidates(&source, &target);
        if candidates.is_empty() {
            return Err(none());
        }
        let (own, endless) = match from.geographic {
            true => (None, false),
            false => {
                let base = source.made(sys::proj_crs_get_geodetic_crs).ok_or_else(none)?;
                let words = from.words().unwrap_or_default();
                let endless = ENDLESS.iter().any(|n| words.contains(&format!("+proj={n} ")));
                let plain = match source.kind() {
                    sys::PJ_TYPE_PJ_TYPE_BOUND_CRS => source.made(sys::proj_get_source_crs),
                    _ => None,
                };
                (between(&base, plain.as_ref().unwrap_or(&source)), endless)
            }
        };
        let own_units = match from.geographic {
            true => Some((from.unit()?.0, from.meridian()?)),
            false => None,
        };
        let way = OnceCell::new();
        if own_units.is_none() {
            let computed = match from.words() {
                Ok(words) => Object::create(&words.replace("+type=crs", "")).is_some(),
                // SAFETY: `source` lives; what PROJ has no old words for may be computed yet.
                Err(_) => between(&source, &target).is_some_and(|w| unsafe {
                    sys::proj_coordoperation_is_instantiable(w.context.0, w.raw) != 0
                }),
            };
            if !computed {
                return Err(none());
            }
            // Its parameters may not fit each other: said at once.
            way.set(Some(between(&source, &target).ok_or_else(none)?)).ok();
        }
        Ok(Transfer {
            candidates,
            way,
            ends: (source, target),
            own,
            endless,
            unit: to.unit()?.0,
            meridian: to.meridian()?,
            from: own_units,
        })
    }

    /// Longitude and latitude in degrees, and the longitude of a geographic source on the turn on which it was.
    pub fn point(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        let way = self.way.get_or_init(|| between(&self.ends.0, &self.ends.1)).as_ref()?;
        let [lon, lat] = way.transform(false, x, y)?;
        let (mut lon, lat) = (lon * self.unit + self.meridian, lat * self.unit);
        match (self.from, &self.own) {
            (Some((unit, meridian)), _) => {
                let was = x * unit + meridian;
                lon -= ((lon - was) / 360.0).round() * 360.0;
                // What moves by less than 10 micrometres has not moved: it keeps its bits.
                if unit == 1.0
                    && meridian == 0.0
                    && (lon - x).abs() < 1e-10
                    && (lat - y).abs() < 1e-10
                {
                    return Some([x, y]);
                }
            }
            (None, Some(own)) if !self.endless => {
                let [a, b] = own.transform(true, x, y)?;
                let [u, v] = own.transform(false, a, b)?;
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()) + 1.0;
                if !near(u, x) || !near(v, y) {
                    return None;
                }
            }
            _ => {}
        }
        Some([lon, lat])
    }

    pub fn is_geographic(&self) -> bool {
        self.from.is_some()
    }

    /// Do all points of this box (west, south, east, north) stay where they are?
    pub fn is_null_within(&self, of: [f64; 4]) -> bool {
        self.from == Some((1.0, 0.0))
            && self.unit == 1.0
            && self.meridian == 0.0
            && !self.candidates.is_empty()
            && self.candidates.iter().filter(|c| c.touches(of)).all(|c| c.null)
            && self.candidates.iter().any(|c| c.null && c.touches(of))
    }

    /// Are the datums taken as the same at this place, for want of better?
    pub fn is_ballpark_at(&self, [lon, lat]: [f64; 2]) -> bool {
        let here = [lon, lat, lon, lat];
        let exact = |c: &Candidate| !c.ballpark && c.touches(here);
        !self.candidates.iter().any(exact)
            && self.candidates.iter().any(|c| c.ballpark && c.touches(here))
    }

    /// Is there no place at which the datum changes?
    pub fn is_null(&self) -> bool {
        self.is_null_within([-180.0, -90.0, 180.0, 90.0])
            || self.candidates.first().is_some_and(|c| c.null && !c.ballpark)
    }
}

/// A plain projection in PROJ's words, as the thread has it: x and y from radians, or radians from x and y.
pub(super) fn project(id: u64, words: &str, back: bool, x: f64, y: f64) -> Option<[f64; 2]> {
    let (last, raw) = LAST.get();
    let raw = if last == id { raw } else { operation(id, words) };
    // SAFETY: what `LAST` names lives in `OPERATIONS` of this thread until `operation` names another.
    (!raw.is_null()).then(|| unsafe { trans(raw, back, x, y) }).flatten()
}

#[cold]
fn operation(id: u64, words: &str) -> *mut sys::PJ {
    OPERATIONS.with_borrow_mut(|known| {
        let at = known.iter().position(|(k, _)| *k == id).unwrap_or_else(|| {
            if known.len() > 7 {
                known.clear();
            }
            known.push((id, Object::create(words)));
            known.len() - 1
        });
        let raw = known[at].1.as_ref().map_or(null_mut(), |o| o.raw);
        LAST.set((id, raw));
        raw
    })
}

/// # Safety
/// `raw` is a living operation of this thread.
unsafe fn trans(raw: *mut sys::PJ, back: bool, x: f64, y: f64) -> Option<[f64; 2]> {
    let way = if back { sys::PJ_DIRECTION_PJ_INV } else { sys::PJ_DIRECTION_PJ_FWD };
    let at = sys::PJ_COORD { v: [x, y, 0.0, f64::INFINITY] };
    // SAFETY: all views of the union are four numbers.
    let [x, y, ..] = unsafe { sys::proj_trans(raw, way, at).v };
    (x.is_finite() && y.is_finite()).then_some([x, y])
}

/// The first thing of this kind that has the name, under one of the ways to write it.
fn named(name: &str, kind: sys::PJ_TYPE) -> Option<Object> {
    let here = HERE.with(Rc::clone);
    let spaced = name.replace('_', " ");
    let bare = spaced.strip_prefix("D ").or(spaced.strip_prefix("GCS ")).unwrap_or(&spaced);
    // letters and digits apart: `GRS80` is `GRS 80`
    let apart = |t: &str| {
        let at = t.find(|c: char| c.is_ascii_digit()).filter(|at| *at > 0);
        at.map_or(t.to_string(), |at| format!("{} {}", t[..at].trim_end(), &t[at..]))
    };
    for text in [name.to_string(), spaced.clone(), bare.to_string(), apart(bare)] {
        let Ok(text) = CString::new(text) else { continue };
        let kinds = [kind];
        // SAFETY: all lives through the call.
        let list = unsafe {
            sys::proj_create_from_name(
                here.0,
                null(),
                text.as_ptr(),
                kinds.as_ptr().cast_mut(),
                1,
                0,
                2,
                null(),
            )
        };
        if list.is_null() {
            continue;
        }
        let found = Object::own(unsafe { sys::proj_list_get(here.0, list, 0) }, &here);
        unsafe { sys::proj_list_destroy(list) };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Half axes of an ellipsoid by EPSG's name or PROJ's.
pub(super) fn ellipsoid_named(name: &str) -> Option<(f64, f64)> {
    if let Some(e) = named(name, sys::PJ_TYPE_PJ_TYPE_ELLIPSOID) {
        let (mut a, mut b) = (0.0, 0.0);
        let fine = unsafe {
            sys::proj_ellipsoid_get_parameters(
                e.context.0,
                e.raw,
                &mut a,
                &mut b,
                null_mut(),
                null_mut(),
            )
        };
        return (fine != 0).then_some((a, b));
    }
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word.then(|| named_half_axes(&format!("ellps={name}"))).flatten()
}

/// Degrees from Greenwich to a meridian by its name.
pub(super) fn meridian_named(name: &str) -> Option<f64> {
    if name.eq_ignore_ascii_case("greenwich") {
        return Some(0.0);
    }
    let m = named(name, sys::PJ_TYPE_PJ_TYPE_PRIME_MERIDIAN)?;
    let (mut value, mut factor) = (0.0, 0.0);
    let fine = unsafe {
        sys::proj_prime_meridian_get_parameters(
            m.context.0,
            m.raw,
            &mut value,
            &mut factor,
            null_mut(),
        )
    };
    (fine != 0).then_some(value * in_degrees(factor))
}

/// Longitude and latitude by the system's name or its datum's.
pub(super) fn geographic_named(name: &str) -> Option<System> {
    let of = |o: Object| {
        let text = o.json()?;
        Some(System { name: o.name(), text, geographic: true })
    };
    if let Some(o) = named(name, sys::PJ_TYPE_PJ_TYPE_GEOGRAPHIC_2D_CRS) {
        return of(o);
    }
    let datum = named(name, sys::PJ_TYPE_PJ_TYPE_GEODETIC_REFERENCE_FRAME)
        .or_else(|| named(name, sys::PJ_TYPE_PJ_TYPE_DATUM_ENSEMBLE))?;
    let c = &datum.context;
    // SAFETY: PROJ's texts live as long as the datum.
    let list = unsafe {
        sys::proj_query_geodetic_crs_from_datum(
            c.0,
            null(),
            sys::proj_get_id_auth_name(datum.raw, 0),
            sys::proj_get_id_code(datum.raw, 0),
            c"geographic 2D".as_ptr(),
        )
    };
    if list.is_null() {
        return None;
    }
    let found = Object::own(unsafe { sys::proj_list_get(c.0, list, 0) }, c);
    unsafe { sys::proj_list_destroy(list) };
    of(found?)
}

/// Can PROJ make this projection?
pub(super) fn is_projection(words: &str) -> bool {
    Object::create(words).is_some()
}

/// The half axes of an ellipsoid by PROJ's name for it, or for a datum.
pub(super) fn named_half_axes(word: &str) -> Option<(f64, f64)> {
    Object::create(&format!("+proj=longlat +{word} +type=crs"))?.half_axes()
}
