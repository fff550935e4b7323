"""Speed and memory, side by side with other libraries in one run. `README.md` says how to run and read them."""
