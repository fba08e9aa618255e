package health

import (
	"fmt"
	"math"
)

// File is FILE_CHECK: a number in a file, times a weight, is added to the real server's
// weight. Weight 0 makes it a switch: any number but 0 is down.
type File struct {
	Weight  int64
	Reverse bool // the number counts with the other sign; as a switch, 0 is down
}

// fileFault is the product from which on the server is down: the least number that
// keepalived can hold.
const fileFault = math.MinInt32

// Judge says what a number means for the server.
func (f File) Judge(number int64) Result {
	if f.Weight == 0 {
		if (number != 0) != f.Reverse {
			return down("the file says %d", number)
		}
		return up(fmt.Sprintf("the file says %d", number))
	}
	product := saturate(number) * saturate(f.Weight)
	if f.Reverse {
		product = -product
	}
	if product <= fileFault {
		r := down("the file says %d", number)
		r.Weight = WeightChange{Kind: WeightAdd}
		return r
	}
	r := up(fmt.Sprintf("the file says %d", number))
	r.Weight = WeightChange{Kind: WeightAdd, Value: min(product, math.MaxInt32)}
	return r
}

// saturate keeps a product of two such numbers within 64 bits.
func saturate(n int64) int64 { return min(max(n, math.MinInt32), math.MaxInt32) }
