//! The pictures.

use std::error::Error;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::measure::Figures;

const SIZE: (u32, u32) = (960, 560);
/// One for each contender; mostly Okabe and Ito's, which those who see fewer colours can tell apart
/// too. The names stand at the lines as well.
const COLORS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(100, 190, 90),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(150, 110, 0),
    RGBColor(0, 0, 0),
    RGBColor(140, 140, 140),
];

/// One picture: a figure against the number of members, a line for each contender.
pub struct Picture {
    /// What it shows.
    pub title: &'static str,
    /// The figure and its unit.
    pub axis: &'static str,
    /// How to take it from a row.
    pub value: fn(&Figures) -> f64,
    /// Who is left out, because others lie on the same line.
    pub without: &'static [&'static str],
    /// Which rows it shows.
    pub shows: fn(&Figures) -> bool,
    /// From where to where the figure goes.
    pub range: std::ops::Range<f64>,
}

/// Draws it with both axes logarithmic.
pub fn draw_logarithmic(picture: &Picture, rows: &[Figures], path: &Path) -> Result<(), Box<dyn Error>> {
    draw(picture, picture.range.clone().log_scale(), rows, path)
}

/// Draws it with a linear upward axis.
pub fn draw_linear(picture: &Picture, rows: &[Figures], path: &Path) -> Result<(), Box<dyn Error>> {
    draw(picture, picture.range.clone(), rows, path)
}

fn draw<Y>(picture: &Picture, y: Y, rows: &[Figures], path: &Path) -> Result<(), Box<dyn Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(picture.title, ("sans-serif", 22))
        .margin(16)
        .margin_right(210)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((2.5_f64..12_000.0).log_scale(), y)?;
    chart
        .configure_mesh()
        .x_desc("replicas")
        .y_desc(picture.axis)
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| format!("{y}"))
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .light_line_style(WHITE)
        .draw()?;
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    // Labels at the ends of the lines, from the top down, pushed apart where they would collide.
    let mut ends: Vec<(i32, &str, RGBColor)> = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        // One colour in all pictures, also for those who are left out of some.
        let color = COLORS[number % COLORS.len()];
        if picture.without.contains(&name) {
            continue;
        }
        let points = rows.iter().filter(|row| row.name == name && (picture.shows)(row));
        let points: Vec<(f64, f64)> =
            points.map(|row| (f64::from(row.members), (picture.value)(row))).collect();
        let last = *points.last().ok_or("a contender without figures")?;
        chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(3)))?;
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, color.filled())))?;
        ends.push((chart.backend_coord(&last).1, name, color));
    }
    ends.sort_by_key(|end| end.0);
    let mut free = i32::MIN;
    for (y, name, color) in ends {
        let y = y.max(free);
        free = y + 19;
        let style = ("sans-serif", 16).into_font().color(&color);
        root.draw(&Text::new(name, (SIZE.0 as i32 - 205, y - 8), style))?;
    }
    root.present()?;
    Ok(())
}
