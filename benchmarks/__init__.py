"""What Lineal costs against the same work written by hand, and against Strawberry with DataLoaders."""
