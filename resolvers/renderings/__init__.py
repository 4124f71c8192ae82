"""Pure renderings: values in, text or pictures out. They decide nothing."""
