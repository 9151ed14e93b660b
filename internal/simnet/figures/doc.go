// Package figures draws what simulations measure, as SVG and PNG. One seed gives
// the same data; each figure's caption names the command and the seed.
package figures
