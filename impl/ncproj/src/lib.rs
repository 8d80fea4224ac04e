//! Gridded data by regions: polygons and a grid in, an index out; an index and netCDF files in, rows out.
//!
//! The library does the work and never prints; `main` parses the command line and prints.

pub mod aggregate;
pub mod alike;
pub mod angle;
pub mod carry;
pub mod check;
pub mod classes;
pub mod coverage;
pub mod crs;
pub mod curvilinear;
pub mod error;
pub mod export;
pub mod features;
pub mod great_circle;
pub mod grid;
pub mod index;
pub mod info;
pub mod inputs;
pub mod layout;
pub mod meridian;
pub mod netcdf;
pub mod outlines;
pub mod output;
pub mod partial;
pub mod plan;
pub mod project;
pub mod reduce;
pub mod regions;
pub mod repair;
pub mod resume;
pub mod select;
pub mod stats;
pub mod threads;
pub mod time;
pub mod units;
pub mod weights;
pub mod work;
