// vectors: TN numbers at once. JOIN(float, TN) is the type of TN floats.

#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)

// TN numbers of a row, each one or every second one: `step` says. They are of the type read_t.
#define PLACES(from) (step == 1 ? JOIN(vload, TN)(0, from) : EVERY_SECOND(from))
#define EVERY_SECOND(from) JOIN(EVERY_SECOND_OF_, TN)(from)
#define EVERY_SECOND_OF_4(from) vload8(0, from).even
#define EVERY_SECOND_OF_8(from) vload16(0, from).even
#define EVERY_SECOND_OF_16(from) ((JOIN(read_t, 16))(vload16(0, from).even, vload16(1, from).even))
