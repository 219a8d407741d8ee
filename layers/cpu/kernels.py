"""Every kernel of the cpu target: importing this file registers them. Only what compiles does so."""

