"""The network on chip: rows and columns, routes, trees and links; what travels and how far."""
