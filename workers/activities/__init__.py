"""Activities: named functions with arguments, that worker nodes run. An installed package may add its own."""
