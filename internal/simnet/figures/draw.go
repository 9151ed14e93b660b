package figures

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Size of a figure, and its type sizes.
const (
	width  = 16 * vg.Centimeter
	height = 10 * vg.Centimeter
	title  = vg.Length(12)
	label  = vg.Length(11)
	tick   = vg.Length(10)
)

// palette is Okabe and Ito's, which people who are colour-blind can tell apart.
// Lines differ in their dashes, too, and points in their shape.
func palette(i int) color.Color {
	colours := []color.RGBA{
		{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255},
	}
	return colours[i%len(colours)]
}

func dashes(i int) []vg.Length {
	kinds := [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}}
	return kinds[i%len(kinds)]
}

func glyph(i int) draw.GlyphDrawer {
	kinds := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}, draw.PyramidGlyph{}, draw.RingGlyph{}, draw.CrossGlyph{}}
	return kinds[i%len(kinds)]
}

// series is one line of a figure.
type series struct {
	name   string
	at     plotter.XYs
	colour int
	dash   int
	points int // the shape of its points; 0 = none, 1 = circles, …
	noLine bool
}

// newPlot returns an empty figure with its words.
func newPlot(heading, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = heading, x, y
	p.Title.TextStyle.Font.Size = title
	p.Title.Padding = 6
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size = label
		a.Tick.Label.Font.Size = tick
		a.Label.Padding = 4
	}
	p.Legend.TextStyle.Font.Size = tick
	p.Legend.ThumbnailWidth = 28
	p.Legend.Padding = 2
	grid := plotter.NewGrid()
	light := color.Gray{225}
	grid.Horizontal.Color, grid.Vertical.Color = light, light
	p.Add(grid)
	return p
}

func add(p *plot.Plot, all ...series) error {
	for _, s := range all {
		var thumbs []plot.Thumbnailer
		if !s.noLine {
			l, err := plotter.NewLine(s.at)
			if err != nil {
				return fmt.Errorf("figures: %s: %w", s.name, err)
			}
			l.Color, l.Width, l.Dashes = palette(s.colour), 1.6, dashes(s.dash)
			p.Add(l)
			thumbs = append(thumbs, l)
		}
		if s.points > 0 {
			dots, err := plotter.NewScatter(s.at)
			if err != nil {
				return fmt.Errorf("figures: %s: %w", s.name, err)
			}
			dots.Color, dots.Shape, dots.Radius = palette(s.colour), glyph(s.points-1), 3
			p.Add(dots)
			thumbs = append(thumbs, dots)
		}
		p.Legend.Add(s.name, thumbs...)
	}
	return nil
}

// save writes a figure as SVG and PNG.
func save(p *plot.Plot, dir, name string) error {
	// #nosec G301 -- figures are for everybody to read
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, format := range []string{"svg", "png"} {
		w, err := p.WriterTo(width, height, format)
		if err != nil {
			return fmt.Errorf("figures: %s: %w", name, err)
		}
		f, err := os.Create(filepath.Join(dir, name+"."+format))
		if err != nil {
			return err
		}
		if _, err = w.WriteTo(f); err != nil {
			_ = f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
