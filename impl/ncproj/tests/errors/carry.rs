//! Attributes of the regions that are carried along.

use crate::snapshot::Area;

#[test]
fn carried_attributes() {
    let mut a = Area::new("carry");
    let feature = |id: &str, state: &str, w: f64| {
        let e = w + 1.0;
        format!(
            r#"{{"type":"Feature","properties":{{"id":"{id}","STATE":"{state}","N":9007199254740993}},"geometry":
            {{"type":"Polygon","coordinates":[[[{w},40],[{e},40],[{e},42],[{w},42],[{w},40]]]}}}}"#
        )
    };
    let features = [feature("a", "CO", 260.0), feature("b", "NM", 261.0)].join(",");
    a.write("c.geojson", format!(r#"{{"type":"FeatureCollection","features":[{features}]}}"#));
    let index = "index --regions c.geojson --key id --grid v.nc -o o.idx --carry";
    for (title, carry) in [
        ("an empty name", "STATE,"),
        ("no new name", "STATE="),
        ("one name twice", "STATE,N=STATE"),
        ("the name of the key", "id"),
        ("a field that is not there", "STAT"),
    ] {
        a.says(title, &format!("{index} {carry}"));
    }
    let make = |a: &Area, name: &str, carry: &str| {
        a.t.fine(&format!(
            "index --regions c.geojson --key id --grid v.nc -o {name} --carry {carry}"
        ));
    };
    make(&a, "state.idx", "STATE,N");
    a.says("wide rows of CSV", "aggregate --index state.idx v.nc -o o.csv --wide");
    a.says("no such value", "aggregate --index state.idx v.nc -o o.csv --where STATE=CA");
    a.says("no such pattern", "aggregate --index state.idx v.nc -o o.csv --where STATE=X*");
    a.says("no such attribute", "aggregate --index state.idx v.nc -o o.csv --where STAT=CO");
    a.says("an integer beyond 2^53 in netCDF", "aggregate --index state.idx v.nc -o o.nc");
    make(&a, "time.idx", "STATE=time");
    a.says("the name of the time", "aggregate --index time.idx v.nc -o o.csv");
    make(&a, "cover.idx", "STATE=coverage");
    a.says("a name of the export", "export --index cover.idx -o o.csv");
    make(&a, "lat.idx", "STATE=latitude");
    a.says("a name of the netCDF output", "aggregate --index lat.idx v.nc -o o.nc");
    a.finish();
}
