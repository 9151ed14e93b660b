// Package matrix holds the attack tests of the tree to docs/security.md.
//
// A row of the matrix is a letter and a number, as D3. Its tests are called
// TestMatrixD3…, and each logs what it measured as one line of the form
//
//	matrix: D3 right key in 80 of 80 resolutions
//
// [ReadTable] reads the rows of docs/security.md, [Run] reads what `go test
// -json` prints, and [Results.Report] says of each row whether its tests passed and what
// they measured. The program in report/ is all three in a row.
//
// [Tree] runs the same tests against copies of the product in which the defence
// that each is about has been switched off, by a change to the source that only the
// compiler sees: there they must fail. The program in undefended/ does that.
package matrix
